// SPDX-License-Identifier: GPL-2.0

//! How a request ended, for those who wait for it.

use super::{error, Object, ObjectRef};
use crate::vfs::Event;
use kernel::prelude::*;
use kernel::sync::atomic::{Acquire, Atomic, Relaxed, Release};
use ondine_ondemand::{requests::Outcome, Errno, Run};

/// One request, as those see it who wait for it. The request table holds a
/// reference until the request ends.
pub(crate) struct Ticket {
    object: ObjectRef,
    run: Run,
    outcome: Atomic<i32>,
    /// Whether someone has waited for it.
    joined: Atomic<bool>,
}

/// Values of [`Ticket::outcome`]; an errno is negative.
const PENDING: i32 = 0;
const ANSWERED: i32 = 1;
const DEAD: i32 = 2;
const DROPPED: i32 = 3;

impl Ticket {
    /// For a request that has not ended; of an OPEN, `run` is empty.
    pub(super) fn new(object: &ObjectRef, run: Run) -> Self {
        Self {
            object: object.clone(),
            run,
            outcome: Atomic::new(PENDING),
            joined: Atomic::new(false),
        }
    }

    /// One more waits for the request. Tells whether others did before.
    pub(super) fn join(&self) -> bool {
        self.joined.xchg(true, Relaxed)
    }

    /// The pages that were asked for.
    pub(super) fn run(&self) -> Run {
        self.run
    }

    /// Ends the request by the daemon's answer. This or [`Self::cancel`] is
    /// called once, by who took the request out of the table.
    pub(crate) fn answer(&self, outcome: Outcome) {
        self.end(Event::Complete, outcome);
    }

    /// Ends the request without an answer to it.
    pub(crate) fn cancel(&self, outcome: Outcome) {
        self.end(Event::Cancel, outcome);
    }

    /// Ends the request, and wakes those who wait for it.
    fn end(&self, event: Event, outcome: Outcome) {
        let (value, result) = match outcome {
            Outcome::Answered => (ANSWERED, Ok(())),
            Outcome::Dead => (DEAD, Err(EIO)),
            Outcome::Dropped => (DROPPED, Err(EIO)),
            Outcome::Failed(errno) => (errno.number().wrapping_neg(), Err(error(errno))),
        };
        self.object.trace(event, self.run, result);
        // What was written for the request is seen by who sees its end.
        self.outcome.store(value, Release);
        Object::notify(&self.object);
    }

    /// How the request ended; `None` while it has not.
    pub(super) fn outcome(&self) -> Option<Outcome> {
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
