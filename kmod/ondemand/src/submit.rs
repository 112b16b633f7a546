// SPDX-License-Identifier: GPL-2.0

//! Submitting READs for missing pages, and OPENs for unknown sizes.

use crate::{
    completion::RequestObject,
    contents::Contents,
    platform::{CacheOps, MountOps, ObjectOps},
    requests::{Outcome, Refusal},
    run::Run,
    session,
    state::{NewRead, State},
    Errno,
};

/// The request that a read waits for.
pub(crate) struct WaitTarget<C: CacheOps> {
    /// The first missing page of the read.
    first: u64,
    completion: C::Completion,
    /// Another read waits for it as well.
    merged: bool,
}

impl<C: CacheOps> WaitTarget<C> {
    /// Adds a waiter to a request. For a READ, called with the lock held under which
    /// it was found, so that it is not withdrawn before.
    fn join(first: u64, completion: C::Completion) -> Self {
        let merged = completion.join();
        Self {
            first,
            completion,
            merged,
        }
    }

    /// Removes a waiter. A READ that nobody waits for any more, and that the daemon has
    /// never read, is withdrawn.
    ///
    /// ```text
    /// CPU 1 (last waiter)              CPU 2 (read)
    /// waiters = 0
    ///                                  lock; find the READ; waiters = 1; unlock
    /// lock
    ///   waiters is 1: the READ stays
    /// unlock
    /// ```
    pub(crate) fn leave(self, cache: &C) {
        let completion = &self.completion;
        if !completion.leave() || completion.is_open() || self.has_ended() {
            return;
        }
        let unwanted = |one: &C::Completion| !one.has_waiters();
        let (key, run) = (completion.object().key(), completion.run());
        let withdrawn = cache.lock().table.withdraw(key, run, unwanted);
        if let Some(withdrawn) = withdrawn {
            withdrawn.cancel(Outcome::Dropped);
        }
    }

    /// The completion of the request.
    pub(crate) fn completion(&self) -> &C::Completion {
        &self.completion
    }

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

/// READs that were put into the table, and the memory for the next one.
pub(crate) struct Submitted<C: CacheOps> {
    lane: C::Lane,
    need: Need,
    count: u64,
    /// The device has become readable.
    readable: bool,
    memory: Option<NewRead<C>>,
}

impl<C: CacheOps> Submitted<C> {
    /// None, and memory for one.
    pub(crate) fn new(lane: C::Lane, need: Need) -> Self {
        Self {
            lane,
            need,
            count: 0,
            readable: false,
            memory: NewRead::new(),
        }
    }

    /// Returns whether no READ may be submitted that nobody needs.
    fn is_crowded(&self) -> bool {
        self.lane.undelivered() >= C::UNDELIVERED_MAX
    }
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
            Need::Prefetch,
        )),
        None => object.with_deferred_prefetch(|kept| *kept = kept.joined(run).unwrap_or(*kept)),
    }
}

/// The need for a READ of the first missing page of a run. There is none for the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A task is going to wait for it.
    Task,
    /// Folios are going to wait for it, which readahead may give back.
    Readahead,
    /// Nobody is going to wait for it.
    Prefetch,
}

/// Submits READs for the missing pages of `run`. Returns the request that covers
/// the first of them, for the caller to wait on; `None` if no page is missing, or if
/// nobody is going to wait.
///
/// # Errors
///
/// [`Refusal`].
fn submit<C: CacheOps>(
    mount: &C::Mount,
    object: &C::Object,
    contents: &Contents<C::Words>,
    run: Run,
    need: Need,
) -> Result<Option<WaitTarget<C>>, Refusal> {
    let cache = mount.cache();
    let prefetch = object.with_deferred_prefetch(|kept| core::mem::replace(kept, Run::EMPTY));
    let mut prefetch = prefetch.before(contents.pages());
    let mut rest = run;
    let mut submitted = Submitted::new(mount.lane().clone(), need);
    let target = loop {
        let mut state = cache.lock();
        // As in `prefetch`, no refusal needs a report, but that of memory an answer. What
        // is refused is not tried again: it would take the memory of the read each time.
        let kept = state.submit_missing(object, contents, &mut prefetch, &mut submitted);
        if kept != Err(Refusal::Full) {
            prefetch = Run::EMPTY;
        }
        let target = match kept {
            Err(Refusal::Full) => Err(Refusal::Full),
            _ if need == Need::Prefetch => state
                .submit_missing(object, contents, &mut rest, &mut submitted)
                .map(|()| None),
            _ => state.submit_and_join(object, contents, run, &mut rest, &mut submitted),
        };
        drop(state);
        if !matches!(target, Err(Refusal::Full)) {
            break target;
        }
        // Without the lock: the daemon needs that to answer, and memory may wait for
        // what it answers.
        submitted.memory = NewRead::new();
        if submitted.memory.is_none() {
            break Err(Refusal::Full);
        }
    };
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
    /// Submits READs for the missing pages of `run`, of which those before `rest` are
    /// requested already, and joins the request of the first one. To be called again
    /// after [`Refusal::Full`], with more memory.
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
        rest: &mut Run,
        submitted: &mut Submitted<C>,
    ) -> Result<Option<WaitTarget<C>>, Refusal> {
        let presence = contents.presence();
        while let Some(first) = presence.first_missing(run.first, run.count) {
            if submitted.is_crowded() && self.table.join(object.key(), first).is_none() {
                if submitted.need != Need::Task {
                    return Err(Refusal::Crowded);
                }
                self.submit_first(object, contents, run.after(first), submitted)?;
            }
            self.submit_missing(object, contents, rest, submitted)?;
            if let Some(completion) = self.table.join(object.key(), first) {
                return Ok(Some(WaitTarget::join(first, completion)));
            }
            // The page has come since the test, by a write that no request asked
            // for; or its request has ended while the lock was free for memory.
            *rest = run;
        }
        Ok(None)
    }

    /// Submits one READ, for the first missing pages of `run`.
    fn submit_first(
        &mut self,
        object: &C::Object,
        contents: &Contents<C::Words>,
        run: Run,
        submitted: &mut Submitted<C>,
    ) -> Result<(), Refusal> {
        let Some(piece) = missing_piece::<C>(contents, run) else {
            return Ok(());
        };
        match self.table.uncovered(object.key(), piece) {
            Some(part) => self.submit_one(object, part, submitted),
            None => Ok(()),
        }
    }

    fn submit_one(
        &mut self,
        object: &C::Object,
        part: Run,
        submitted: &mut Submitted<C>,
    ) -> Result<(), Refusal> {
        let lane = submitted.lane.clone();
        submitted.readable |= self.read(object, &lane, part, &mut submitted.memory)?;
        submitted.count = submitted.count.wrapping_add(1);
        Ok(())
    }

    /// Submits READs for the missing pages of `run` that no pending READ covers, as far
    /// as the mount may, and takes the pages off `run` for which that is done.
    fn submit_missing(
        &mut self,
        object: &C::Object,
        contents: &Contents<C::Words>,
        run: &mut Run,
        submitted: &mut Submitted<C>,
    ) -> Result<(), Refusal> {
        while let Some(piece) = missing_piece::<C>(contents, *run) {
            while let Some(part) = self.table.uncovered(object.key(), piece) {
                if submitted.is_crowded() {
                    return Ok(());
                }
                self.submit_one(object, part, submitted)?;
            }
            *run = run.after(piece.end());
        }
        Ok(())
    }
}

/// The first missing pages of `run`, as many as one READ asks for.
fn missing_piece<C: CacheOps>(contents: &Contents<C::Words>, run: Run) -> Option<Run> {
    let missing = contents.presence().missing_run(run.first, run.count)?;
    Some(Run {
        count: missing.count.min(C::READ_PAGES),
        ..missing
    })
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
/// used, or if there is no session and the mount is soft; ENOMEM; EAGAIN if
/// readahead would submit one READ too many.
pub(crate) fn submit_read<C: CacheOps>(
    mount: &C::Mount,
    object: &C::Object,
    run: Run,
    need: Need,
) -> Result<Submission<C>, Errno> {
    let target: Result<Option<WaitTarget<C>>, Refusal> = loop {
        match object.contents() {
            Some(contents) if run.end() > contents.pages() => return Err(Errno::EIO),
            Some(contents) => break submit(mount, object, contents, run, need),
            None => match session::open(mount.cache(), object) {
                // The size came since the test.
                Ok(None) => {}
                Ok(Some(completion)) => {
                    break Ok(Some(WaitTarget::join(run.first, completion)));
                }
                Err(refusal) => break Err(refusal),
            },
        }
    };
    match target {
        Ok(None) => Ok(Submission::Present),
        Ok(Some(target)) => {
            // An OPEN serves the whole mount, and is not a merged read.
            if !target.completion.is_open() && target.merged {
                mount.count_merged();
            }
            Ok(Submission::Pending(target))
        }
        Err(Refusal::Dead) if mount.is_hard() => Ok(Submission::NoSession),
        Err(Refusal::Full) => Err(Errno::ENOMEM),
        Err(Refusal::Crowded) => Err(Errno::EAGAIN),
        Err(Refusal::Dead | Refusal::Dropped | Refusal::Busy) => Err(Errno::EIO),
    }
}
