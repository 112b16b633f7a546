// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Reads that wait without a task, in every interleaving that loom finds.
//!
//! A read is parked in a list, which one worker at a time looks after: it takes the whole list, looks at each read's
//! ticket, and puts those back that have to wait. Whoever ends a request kicks the worker if a read may wait for it. A
//! kick is work in a queue: it is not lost while the worker runs, and it is one however often it comes.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// What is done wrong, for the proof that it would be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Who ends a request looks whether the list holds a read, which the worker may have in its hands.
    LookAtTheList,
    /// A read is counted after it has asked.
    CountLate,
}

#[derive(Default)]
struct Ticket {
    ended: AtomicBool,
}

/// A request table with room for one request, an object with its parked reads, and the queue of its work.
struct Object {
    flaw: Option<Flaw>,
    table: Mutex<Option<Arc<Ticket>>>,
    asked: Condvar,
    parked: Mutex<Vec<Arc<Ticket>>>,
    count: AtomicUsize,
    queued: Mutex<bool>,
    kicked: Condvar,
}

impl Object {
    fn new(flaw: Option<Flaw>) -> Arc<Self> {
        Arc::new(Self {
            flaw,
            table: Mutex::new(None),
            asked: Condvar::new(),
            parked: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
            queued: Mutex::new(false),
            kicked: Condvar::new(),
        })
    }

    fn kick(&self) {
        *self.queued.lock().unwrap() = true;
        self.kicked.notify_one();
    }

    /// A read that finds its page missing, as the worker's first look at it asks for it.
    fn ask(&self) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        if self.flaw != Some(Flaw::CountLate) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        *self.table.lock().unwrap() = Some(ticket.clone());
        self.asked.notify_one();
        if self.flaw == Some(Flaw::CountLate) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        ticket
    }

    /// The worker: asks, and goes on with every kick until the read has ended.
    fn work(&self) {
        let mut reads = vec![self.ask()];
        loop {
            for read in reads {
                if read.ended.load(Ordering::Acquire) {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                self.parked.lock().unwrap().push(read);
            }
            let mut queued = self.queued.lock().unwrap();
            while !*queued {
                queued = self.kicked.wait(queued).unwrap();
            }
            *queued = false;
            drop(queued);
            reads = std::mem::take(&mut *self.parked.lock().unwrap());
        }
    }

    /// The daemon answers.
    fn answer(&self) {
        let mut table = self.table.lock().unwrap();
        let ticket = loop {
            match table.take() {
                Some(ticket) => break ticket,
                None => table = self.asked.wait(table).unwrap(),
            }
        };
        drop(table);
        ticket.ended.store(true, Ordering::Release);
        let waits = match self.flaw {
            Some(Flaw::LookAtTheList) => !self.parked.lock().unwrap().is_empty(),
            _ => self.count.load(Ordering::Relaxed) != 0,
        };
        if waits {
            self.kick();
        }
    }
}

/// A read that is parked ends; loom fails on a deadlock, which is a lost wake-up.
fn a_parked_read_ends(flaw: Option<Flaw>) {
    loom::model(move || {
        let object = Object::new(flaw);
        let worker = {
            let object = object.clone();
            thread::spawn(move || object.work())
        };
        object.answer();
        worker.join().unwrap();
        assert_eq!(object.count.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn no_wake_up_is_lost() {
    a_parked_read_ends(None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_look_at_the_list_is_caught() {
    a_parked_read_ends(Some(Flaw::LookAtTheList));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_late_count_is_caught() {
    a_parked_read_ends(Some(Flaw::CountLate));
}
