// SPDX-License-Identifier: GPL-2.0

//! What a read asks for, and whether it may go on once that has ended.

use super::{
    control::State,
    error,
    mount::Mount,
    ticket::Ticket,
    ObjectRef, //
};
use kernel::{prelude::*, sync::Arc};
use ondine_ondemand::{
    presence::PAGE_SHIFT,
    requests::{Outcome, Refusal},
    Presence, Run,
};

/// A request asks for this many pages at most: 1 MiB.
const PIECE: u64 = (1 << 20) >> PAGE_SHIFT;

/// What a read waits for.
pub(super) struct Wanted {
    /// The first page that is missing.
    first: u64,
    /// The request for it.
    pub(super) ticket: Arc<Ticket>,
}

/// READs that were put into the table.
#[derive(Default)]
struct Queued {
    count: u64,
    /// Whether the daemon has something to read.
    readable: bool,
}

impl Mount {
    /// Asks for what is missing of `run`: for one who is going to need it, and
    /// may wait for what he gets. `None` if nothing is missing.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) fn ask(
        &self,
        object: &ObjectRef,
        run: Run,
    ) -> core::result::Result<Option<Wanted>, Refusal> {
        let contents = object.contents().ok_or(Refusal::Dropped)?;
        let presence = contents.presence();
        let postponed = object.take_postponed().before(contents.pages());
        let mut queued = Queued::default();
        let mut state = self.cache.lock();
        // Only a hint, as when it was postponed.
        let _hint = state.queue(object, &presence, postponed, &mut queued);
        let wanted = state.ask(object, presence, run, &mut queued);
        drop(state);
        // Also after an error: what is in the table is to be answered.
        if queued.count != 0 {
            self.asked(queued.count);
        }
        if queued.readable {
            self.cache.pollers().notify_all();
        }
        wanted
    }
}

impl State {
    /// Asks for what is missing of `run`, and joins the request of the first
    /// missing page.
    fn ask(
        &mut self,
        object: &ObjectRef,
        presence: Presence<'_>,
        run: Run,
        queued: &mut Queued,
    ) -> core::result::Result<Option<Wanted>, Refusal> {
        // Only under the lock: of a request that is not in the table any more,
        // what was written for it is seen by then.
        while let Some(first) = presence.first_missing(run.first, run.count) {
            self.queue(object, &presence, run, queued)?;
            if let Some(ticket) = self.table.join(object.key(), first) {
                return Ok(Some(Wanted { first, ticket }));
            }
            // It has come meanwhile, unasked.
        }
        Ok(None)
    }

    /// Puts READs into the table for what is missing of `run`, but for what
    /// others have asked for.
    fn queue(
        &mut self,
        object: &ObjectRef,
        presence: &Presence<'_>,
        run: Run,
        queued: &mut Queued,
    ) -> core::result::Result<(), Refusal> {
        let mut at = run.first;
        while let Some(missing) = presence.missing_run(at, run.end().saturating_sub(at)) {
            let missing = Run {
                count: missing.count.min(PIECE),
                ..missing
            };
            at = missing.end();
            while let Some(part) = self.table.uncovered(object.key(), missing) {
                queued.readable |= self.read(object, part)?;
                queued.count += 1;
            }
        }
        Ok(())
    }
}

/// What asking for pages comes to.
pub(super) enum Entered {
    /// They are all there.
    Present,
    /// A request is under way.
    Asked(Wanted),
    /// There is no daemon to ask, and the mount is one that waits for one.
    NoSession,
}

/// Asks for what is missing of `run`, for a read that is going to wait.
///
/// # Errors
///
/// EIO if it cannot come; ENOMEM.
pub(super) fn enter(mount: &Mount, object: &ObjectRef, run: Run) -> Result<Entered> {
    let asked = match object.contents() {
        Some(contents) if run.end() > contents.pages() => return Err(EIO),
        Some(_) => mount.ask(object, run),
        // The daemon has not told the size yet.
        None => match mount.cache.open(object) {
            Ok(None) => return enter(mount, object, run),
            Ok(Some(ticket)) => {
                return Ok(Entered::Asked(Wanted {
                    first: run.first,
                    ticket,
                }))
            }
            Err(refusal) => Err(refusal),
        },
    };
    match asked {
        Ok(None) => Ok(Entered::Present),
        Ok(Some(wanted)) => {
            if wanted.ticket.join() {
                mount.merged();
            }
            Ok(Entered::Asked(wanted))
        }
        Err(Refusal::Dead) if mount.policy.hard => Ok(Entered::NoSession),
        Err(Refusal::Full) => Err(ENOMEM),
        Err(Refusal::Dead | Refusal::Dropped | Refusal::Busy) => Err(EIO),
    }
}

/// Whether a read whose request has ended may go on: its pages are there, or it
/// makes sense to ask again.
///
/// # Errors
///
/// What the read ends with.
pub(super) fn judge(object: &ObjectRef, wanted: &Wanted) -> Result {
    match wanted.ticket.outcome() {
        None => Ok(()),
        // An OPEN.
        Some(Outcome::Answered) if wanted.ticket.run() == Run::EMPTY => Ok(()),
        Some(Outcome::Failed(_)) if wanted.ticket.run() == Run::EMPTY => Err(ENOBUFS),
        Some(Outcome::Answered) => {
            let contents = object.contents().ok_or(EIO)?;
            let has = |first| contents.has(Run { first, count: 1 });
            // Where the request was met in part, the rest is asked for again;
            // where nothing came, nothing would.
            if has(wanted.first) || has(wanted.ticket.run().first) {
                Ok(())
            } else {
                Err(EIO)
            }
        }
        // What came before the daemon went is there. For the rest, the mount's
        // policy counts.
        Some(Outcome::Dead) => Ok(()),
        Some(Outcome::Dropped) => Err(EIO),
        Some(Outcome::Failed(errno)) => Err(error(errno)),
    }
}
