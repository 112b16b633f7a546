// SPDX-License-Identifier: GPL-2.0

//! The completion of a request, shared by its waiters and the request table.

use crate::{
    deferred_count::DeferredCount,
    deferred_list::WaitFor,
    requests::Outcome,
    run::Run,
    sync::{Acquire, AtomicI32, AtomicUsize, Relaxed, Release},
    Errno,
};

/// A step in the life of a request, for tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was put into the table.
    Submit,
    /// The daemon has read it.
    Deliver,
    /// The daemon has answered it.
    Complete,
    /// It ended without an answer.
    Cancel,
}

/// The object of a request, as its completion needs it.
pub trait RequestObject {
    /// The object's key in the request table.
    fn key(&self) -> u64;

    /// Traces a step of a request for pages of the object. `result` is the
    /// request's if it has ended, else a success.
    fn trace(&self, event: Event, run: Run, result: Result<(), Errno>);

    /// Wakes the tasks that wait for a request of the object, to re-check their
    /// condition. A full memory barrier before each check and before each wake-up,
    /// as `wait_event()` and `wake_up()` have it.
    fn wake_waiters(&self);

    /// The number of deferred reads.
    fn deferred_count(&self) -> &DeferredCount;

    /// Makes the deferred reads runnable that wait for `wait_for`. Returns whether there
    /// are any.
    fn release_deferred(&self, wait_for: WaitFor) -> bool;

    /// Queues the worker that processes the deferred reads. A call while the worker
    /// runs has it run once more.
    fn queue_worker(&self);

    /// Wakes the waiting tasks, and queues the worker if deferred reads wait for
    /// `wait_for`.
    fn wake(&self, wait_for: WaitFor) {
        self.wake_waiters();
        if self.release_deferred(wait_for) {
            self.queue_worker();
        }
    }
}

/// The completion of a request for pages of an object. Of an OPEN, the run is
/// empty.
///
/// The request table holds a reference until the request ends. The call that
/// removes the request from the table, and no other, completes it: once.
pub struct Completion<O> {
    object: O,
    run: Run,
    outcome: AtomicI32,
    /// Reads that wait. That of a READ grows with the lock of the request table held.
    waiters: AtomicUsize,
}

/// Values of [`Completion::outcome`]; an errno is negative.
const PENDING: i32 = 0;
const ANSWERED: i32 = 1;
const DEAD: i32 = 2;
const DROPPED: i32 = 3;

impl<O: RequestObject> Completion<O> {
    /// The completion of a request that has not ended.
    pub fn new(object: O, run: Run) -> Self {
        Self {
            object,
            run,
            outcome: AtomicI32::new(PENDING),
            waiters: AtomicUsize::new(0),
        }
    }

    /// The object.
    pub fn object(&self) -> &O {
        &self.object
    }

    /// The requested pages; empty for an OPEN.
    #[inline]
    pub fn run(&self) -> Run {
        self.run
    }

    /// Returns whether the request is an OPEN.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.run == Run::EMPTY
    }

    /// Adds a waiter. Returns whether the request has another.
    pub(crate) fn join(&self) -> bool {
        self.waiters.fetch_add(1, Relaxed) != 0
    }

    /// Removes a waiter. Returns whether it was the last one.
    pub(crate) fn leave(&self) -> bool {
        self.waiters.fetch_sub(1, Relaxed) == 1
    }

    /// Returns whether there are waiters.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.load(Relaxed) != 0
    }

    /// Completes the request with the daemon's answer.
    pub fn complete(&self, outcome: Outcome) {
        self.end(Event::Complete, outcome);
    }

    /// Completes the request without an answer.
    pub fn cancel(&self, outcome: Outcome) {
        self.end(Event::Cancel, outcome);
    }

    /// Publishes the outcome, then wakes the waiters.
    ///
    /// A waiter checks the outcome after it has entered the wait queue, so that it
    /// sees the outcome or is seen by the wake-up:
    ///
    /// ```text
    /// CPU 1 (waiting task)             CPU 2 (completion)
    /// enter the wait queue             outcome = answered
    /// outcome is pending: sleep        wake the queue
    /// ```
    ///
    /// A task that is killed leaves the queue and drops its reference; CPU 2 has
    /// one of its own, so that the completion outlives its waiters.
    fn end(&self, event: Event, outcome: Outcome) {
        let (value, result) = match outcome {
            Outcome::Answered => (ANSWERED, Ok(())),
            Outcome::Dead => (DEAD, Err(Errno::EIO)),
            Outcome::Dropped => (DROPPED, Err(Errno::EIO)),
            Outcome::Failed(errno) => (errno.number().wrapping_neg(), Err(errno)),
        };
        self.object.trace(event, self.run, result);
        // Release: a waiter that sees the outcome sees the pages that were written
        // for the request as present.
        self.outcome.store(value, Release);
        self.object.wake(WaitFor::end_of(self.run));
    }

    /// The outcome of the request; `None` while it is pending.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.outcome.load(Acquire) {
            PENDING => None,
            ANSWERED => Some(Outcome::Answered),
            DEAD => Some(Outcome::Dead),
            DROPPED => Some(Outcome::Dropped),
            errno => Some(Outcome::Failed(
                Errno::from_number(errno.wrapping_neg()).unwrap_or(Errno::EIO),
            )),
        }
    }
}
