// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The lock pattern of the kernel's glue, in every interleaving that loom finds.
//!
//! One lock guards the request table. Readers look at the presence bits without it, then again with it, and queue or
//! join a request; they sleep until their ticket has an outcome. Writers publish presence before they complete; a
//! completer takes the request out of the table under the lock, then sets the outcome, then wakes. Death marks the
//! table under the same lock under which requests are queued.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// What is done wrong, for the proof that it would be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Presence is not looked at again under the lock.
    NoSecondLook,
    /// Sleepers are woken before the outcome is set.
    WakeBeforeOutcome,
    /// The request is completed before presence is published.
    CompleteBeforePresence,
    /// Presence is published without release.
    RelaxedPresence,
    /// Death is looked for before the lock is taken, and not under it.
    DeathTestedEarly,
    /// The request is found under the lock, and removed under it later.
    RemoveLate,
}

/// Contents of the page once it was fetched.
const FETCHED: u8 = 7;

const PENDING: usize = 0;
const DONE: usize = 1;
const DIED: usize = 2;

/// wait_event() and wake_up(): whoever wakes takes the queue's lock, so that it comes before or after the look at the
/// condition and not in between.
struct WaitQueue {
    lock: Mutex<()>,
    sleepers: Condvar,
}

impl WaitQueue {
    fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            sleepers: Condvar::new(),
        }
    }

    fn wait_until(&self, condition: impl Fn() -> bool) {
        let mut lock = self.lock.lock().unwrap();
        while !condition() {
            lock = self.sleepers.wait(lock).unwrap();
        }
    }

    fn wake(&self) {
        let _lock = self.lock.lock().unwrap();
        self.sleepers.notify_all();
    }
}

struct Ticket {
    outcome: AtomicUsize,
}

struct Request {
    id: usize,
    new: bool,
    ticket: Arc<Ticket>,
}

#[derive(Default)]
struct Table {
    dead: bool,
    requests: Vec<Request>,
    next_id: usize,
    completed: Vec<usize>,
}

/// One object of one page.
struct Glue {
    flaw: Option<Flaw>,
    table: Mutex<Table>,
    present: AtomicUsize,
    page: UnsafeCell<u8>,
    readers: WaitQueue,
    pollers: WaitQueue,
}

// SAFETY: all parts but the page are `Sync`, and the order of accesses to the page is what is tested here.
unsafe impl Sync for Glue {}

impl Glue {
    fn new(flaw: Option<Flaw>) -> Arc<Self> {
        Arc::new(Self {
            flaw,
            table: Mutex::new(Table::default()),
            present: AtomicUsize::new(0),
            page: UnsafeCell::new(0),
            readers: WaitQueue::new(),
            pollers: WaitQueue::new(),
        })
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire) == 1
    }

    fn bytes(&self) -> u8 {
        // SAFETY: the page is written once, before its presence is published, and read after presence was seen.
        // loom fails the test if the two are not ordered.
        self.page.with(|page| unsafe { *page })
    }

    /// The page, or none if the daemon brought nothing or died.
    fn read(&self) -> Option<u8> {
        if self.is_present() {
            return Some(self.bytes());
        }
        if self.has(Flaw::DeathTestedEarly) && self.table.lock().unwrap().dead {
            return None;
        }
        let (ticket, queued) = {
            let mut table = self.table.lock().unwrap();
            if !self.has(Flaw::NoSecondLook) && self.is_present() {
                return Some(self.bytes());
            }
            if !self.has(Flaw::DeathTestedEarly) && table.dead {
                return None;
            }
            table.join_or_queue()
        };
        if queued {
            self.pollers.wake();
        }
        self.readers
            .wait_until(|| ticket.outcome.load(Ordering::Acquire) != PENDING);
        self.is_present().then(|| self.bytes())
    }

    /// poll(2), then read(2) on the device; none once it is dead.
    fn receive(&self) -> Option<usize> {
        self.pollers.wait_until(|| {
            let table = self.table.lock().unwrap();
            table.dead || table.requests.iter().any(|request| request.new)
        });
        let mut table = self.table.lock().unwrap();
        let request = table.requests.iter_mut().find(|request| request.new)?;
        request.new = false;
        Some(request.id)
    }

    /// The daemon writes the page and says so.
    fn answer(&self, id: usize) {
        if self.has(Flaw::CompleteBeforePresence) {
            self.complete(id);
            return self.write();
        }
        self.write();
        self.complete(id);
    }

    /// A page that is asked for twice is not fetched twice: the assertion about it shall fail, not the one on races.
    fn write(&self) {
        if self.is_present() {
            return;
        }
        let ordering = match self.has(Flaw::RelaxedPresence) {
            true => Ordering::Relaxed,
            false => Ordering::Release,
        };
        // SAFETY: as in `bytes`.
        self.page.with_mut(|page| unsafe { *page = FETCHED });
        self.present.store(1, ordering);
    }

    fn complete(&self, id: usize) {
        let position = |table: &Table| table.requests.iter().position(|request| request.id == id);
        let mut table = self.table.lock().unwrap();
        let Some(found) = position(&table) else {
            return;
        };
        let ticket = table.requests[found].ticket.clone();
        if self.has(Flaw::RemoveLate) {
            drop(table);
            self.end(id, &ticket, DONE);
            table = self.table.lock().unwrap();
            if let Some(found) = position(&table) {
                table.requests.remove(found);
            }
            return;
        }
        table.requests.remove(found);
        drop(table);
        self.end(id, &ticket, DONE);
    }

    /// The device is closed.
    fn close(&self) {
        let requests = {
            let mut table = self.table.lock().unwrap();
            table.dead = true;
            std::mem::take(&mut table.requests)
        };
        for request in requests {
            self.end(request.id, &request.ticket, DIED);
        }
        self.pollers.wake();
    }

    fn end(&self, id: usize, ticket: &Ticket, outcome: usize) {
        if self.has(Flaw::WakeBeforeOutcome) {
            self.readers.wake();
            ticket.outcome.store(outcome, Ordering::Release);
        } else {
            ticket.outcome.store(outcome, Ordering::Release);
            self.readers.wake();
        }
        self.table.lock().unwrap().completed.push(id);
    }

    /// What must hold when everybody has gone.
    fn check(&self) {
        let mut table = self.table.lock().unwrap();
        assert!(table.requests.is_empty(), "a request is left");
        table.completed.sort_unstable();
        let all: Vec<usize> = (0..table.next_id).collect();
        assert_eq!(table.completed, all, "each request is completed once");
        assert!(table.next_id <= 1, "a page that is present was asked for");
    }
}

impl Table {
    fn join_or_queue(&mut self) -> (Arc<Ticket>, bool) {
        if let Some(request) = self.requests.first() {
            return (request.ticket.clone(), false);
        }
        let ticket = Arc::new(Ticket {
            outcome: AtomicUsize::new(PENDING),
        });
        assert!(!self.dead, "a request is queued after death");
        let id = self.next_id;
        self.next_id += 1;
        self.requests.push(Request {
            id,
            new: true,
            ticket: ticket.clone(),
        });
        (ticket, true)
    }
}

/// Runs every interleaving with at most three preemptions; loom also fails on a deadlock, which is a lost wake-up.
fn interleave(scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(scenario);
}

fn spawn<T: 'static>(
    glue: &Arc<Glue>,
    task: impl FnOnce(&Glue) -> T + 'static,
) -> thread::JoinHandle<T> {
    let glue = glue.clone();
    thread::spawn(move || task(&glue))
}

/// Two readers and a daemon that serves until the device is closed behind the readers.
fn two_readers_are_served(flaw: Option<Flaw>) {
    interleave(move || {
        let glue = Glue::new(flaw);
        let daemon = spawn(&glue, |glue| {
            while let Some(id) = glue.receive() {
                glue.answer(id);
            }
        });
        let reader = spawn(&glue, Glue::read);
        assert_eq!(glue.read(), Some(FETCHED));
        assert_eq!(reader.join().unwrap(), Some(FETCHED));
        glue.close();
        daemon.join().unwrap();
        glue.check();
    });
}

/// A reader, a daemon, and a death at any moment.
fn death_ends_all(flaw: Option<Flaw>) {
    interleave(move || {
        let glue = Glue::new(flaw);
        let daemon = spawn(&glue, |glue| {
            if let Some(id) = glue.receive() {
                glue.answer(id);
            }
        });
        let reader = spawn(&glue, Glue::read);
        glue.close();
        let read = reader.join().unwrap();
        assert!(read.is_none_or(|byte| byte == FETCHED));
        daemon.join().unwrap();
        glue.check();
    });
}

#[test]
fn readers_are_served_once_and_see_what_was_written() {
    two_readers_are_served(None);
}

#[test]
fn death_leaves_neither_request_nor_sleeper() {
    death_ends_all(None);
}

#[test]
#[should_panic(expected = "a page that is present was asked for")]
fn a_missing_second_look_is_caught() {
    two_readers_are_served(Some(Flaw::NoSecondLook));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_caught() {
    two_readers_are_served(Some(Flaw::WakeBeforeOutcome));
}

#[test]
#[should_panic(expected = "left: None")]
fn completion_before_presence_is_caught() {
    two_readers_are_served(Some(Flaw::CompleteBeforePresence));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn unpublished_bytes_are_caught() {
    two_readers_are_served(Some(Flaw::RelaxedPresence));
}

#[test]
#[should_panic(expected = "a request is queued after death")]
fn a_request_after_death_is_caught() {
    death_ends_all(Some(Flaw::DeathTestedEarly));
}

#[test]
#[should_panic(expected = "each request is completed once")]
fn a_second_completion_is_caught() {
    death_ends_all(Some(Flaw::RemoveLate));
}
