// SPDX-License-Identifier: GPL-2.0

//! Submitting READs for missing pages, and OPENs for unknown sizes.

use crate::{
    completion::RequestObject,
    contents::Contents,
    platform::{CacheOps, MountOps, ObjectOps},
    requests::{Outcome, Refusal},
    run::Run,
    session,
    state::State,
    Errno,
};

/// The request that a read waits for.
pub(crate) struct WaitTarget<C: CacheOps> {
    /// The first missing page of the read.
    first: u64,
    completion: C::Completion,
}

impl<C: CacheOps> WaitTarget<C> {
    /// Returns whether the request has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.completion.outcome().is_some()
    }

    /// Returns whether the read goes on after the end of its request: because its pages are
    /// present, or because another request can bring them.
    ///
    /// # Errors
    ///
    /// The errno that the read fails with.
    pub(crate) fn status(&self, object: &C::Object) -> Result<(), Errno> {
        let request = &self.completion;
        match request.outcome() {
            None => Ok(()),
            Some(Outcome::Answered) if request.is_open() => Ok(()),
            Some(Outcome::Failed(_)) if request.is_open() => Err(Errno::ENOBUFS),
            Some(Outcome::Answered) => {
                let has = |first| object.has(Run { first, count: 1 });
                // After a partial answer the rest is requested again. After an
                // empty one, the next would be empty as well.
                if has(self.first) || has(request.run().first) {
                    Ok(())
                } else {
                    Err(Errno::EIO)
                }
            }
            // Pages that came before the daemon died are present. For the others
            // the mount's policy decides: see `submit_and_join`.
            Some(Outcome::Dead) => Ok(()),
            Some(Outcome::Dropped) => Err(Errno::EIO),
            Some(Outcome::Failed(errno)) => Err(errno),
        }
    }
}

/// READs that were put into the table.
#[derive(Default)]
pub(crate) struct Submitted {
    count: u64,
    /// The device has become readable.
    readable: bool,
}

/// Submits READs for the missing pages of `run`, of which those beyond the end of
/// the object are ignored, without waiting for them. If the size is not known yet,
/// the run is kept until it is; of runs with a gap in between, only the first.
pub fn prefetch<C: CacheOps>(mount: &C::Mount, object: &C::Object, run: Run) {
    match object.contents() {
        // A refusal needs no report: a read that needs the pages meets it again.
        Some(contents) => drop(submit::<C>(
            mount,
            object,
            contents,
            run.before(contents.pages()),
        )),
        None => object.with_deferred_prefetch(|kept| *kept = kept.joined(run).unwrap_or(*kept)),
    }
}

/// Submits READs for the missing pages of `run`. Returns the request that covers
/// the first of them, for the caller to wait on; `None` if no page is missing.
///
/// # Errors
///
/// [`Refusal`].
fn submit<C: CacheOps>(
    mount: &C::Mount,
    object: &C::Object,
    contents: &Contents<C::Words>,
    run: Run,
) -> Result<Option<WaitTarget<C>>, Refusal> {
    let cache = mount.cache();
    let prefetch = object.with_deferred_prefetch(|kept| core::mem::replace(kept, Run::EMPTY));
    let mut submitted = Submitted::default();
    let mut state = cache.lock();
    // As in `prefetch`, a refusal needs no report.
    let prefetch = prefetch.before(contents.pages());
    let _refused = state.submit_missing(object, contents, prefetch, &mut submitted);
    let target = state.submit_and_join(object, contents, run, &mut submitted);
    drop(state);
    // Also after a refusal: requests that were submitted before it stay.
    if submitted.count != 0 {
        mount.count_requests(submitted.count);
    }
    if submitted.readable {
        cache.wake_pollers();
    }
    target
}

impl<C: CacheOps> State<C> {
    /// Submits READs for the missing pages of `run`, and joins the request of the
    /// first one.
    ///
    /// The daemon writes and the pages become present without the lock, so that
    /// presence is tested again here, and again if a page comes meanwhile:
    ///
    /// ```text
    /// CPU 1 (read)                     CPU 2 (daemon)
    /// page is missing                  write: page becomes present
    ///                                  lock; remove the request; unlock
    /// lock
    ///   test again: page is present
    ///   no request of it in the table
    /// unlock
    /// ```
    ///
    /// A request that is not in the table has ended, and the pages that were
    /// written for it were published before the lock was taken to remove it.
    /// Without the second test CPU 1 would request pages that are present.
    pub(crate) fn submit_and_join(
        &mut self,
        object: &C::Object,
        contents: &Contents<C::Words>,
        run: Run,
        submitted: &mut Submitted,
    ) -> Result<Option<WaitTarget<C>>, Refusal> {
        let presence = contents.presence();
        while let Some(first) = presence.first_missing(run.first, run.count) {
            self.submit_missing(object, contents, run, submitted)?;
            if let Some(completion) = self.table.join(object.key(), first) {
                return Ok(Some(WaitTarget { first, completion }));
            }
            // The page has come since the test, by a write that no request asked
            // for.
        }
        Ok(None)
    }

    /// Submits READs for the missing pages of `run` that no pending READ covers, of
    /// [`CacheOps::READ_PAGES`] at most each.
    fn submit_missing(
        &mut self,
        object: &C::Object,
        contents: &Contents<C::Words>,
        run: Run,
        submitted: &mut Submitted,
    ) -> Result<(), Refusal> {
        let presence = contents.presence();
        let mut at = run.first;
        while let Some(missing) = presence.missing_run(at, run.end().saturating_sub(at)) {
            let piece = Run {
                count: missing.count.min(C::READ_PAGES),
                ..missing
            };
            at = piece.end();
            while let Some(part) = self.table.uncovered(object.key(), piece) {
                submitted.readable |= self.read(object, part)?;
                submitted.count = submitted.count.wrapping_add(1);
            }
        }
        Ok(())
    }
}

/// The result of submitting a read.
pub(crate) enum Submission<C: CacheOps> {
    /// All pages are present.
    Present,
    /// A request is pending.
    Pending(WaitTarget<C>),
    /// There is no session, and the mount waits for one.
    NoSession,
}

/// Submits the requests of a read that is going to wait: READs for its missing
/// pages, or an OPEN while the size is not known.
///
/// # Errors
///
/// EIO if the pages lie beyond the end of the object, if the object is no longer
/// used, or if there is no session and the mount is soft; ENOMEM.
pub(crate) fn submit_read<C: CacheOps>(
    mount: &C::Mount,
    object: &C::Object,
    run: Run,
) -> Result<Submission<C>, Errno> {
    let target: Result<Option<WaitTarget<C>>, Refusal> = loop {
        match object.contents() {
            Some(contents) if run.end() > contents.pages() => return Err(Errno::EIO),
            Some(contents) => break submit(mount, object, contents, run),
            None => match session::open(mount.cache(), object) {
                // The size came since the test.
                Ok(None) => {}
                Ok(Some(completion)) => {
                    let first = run.first;
                    break Ok(Some(WaitTarget { first, completion }));
                }
                Err(refusal) => break Err(refusal),
            },
        }
    };
    match target {
        Ok(None) => Ok(Submission::Present),
        Ok(Some(target)) => {
            // An OPEN serves the whole mount, and is not a merged read.
            if !target.completion.is_open() && target.completion.join() {
                mount.count_merged();
            }
            Ok(Submission::Pending(target))
        }
        Err(Refusal::Dead) if mount.is_hard() => Ok(Submission::NoSession),
        Err(Refusal::Full) => Err(Errno::ENOMEM),
        Err(Refusal::Dead | Refusal::Dropped | Refusal::Busy) => Err(Errno::EIO),
    }
}
