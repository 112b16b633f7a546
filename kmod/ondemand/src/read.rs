// SPDX-License-Identifier: GPL-2.0

//! A read that waits for missing pages.

use crate::{
    deferred_list::WaitFor,
    platform::{CacheOps, MountOps, ObjectOps},
    run::Run,
    submit::{submit_read, Need, Submission, WaitTarget},
    suspend::is_suspending,
    sync::Acquire,
    Errno,
};

/// A read that waits until its pages are present: in a task, or as a
/// [`DeferredRead`](crate::deferred::DeferredRead).
///
/// [`Self::step`] goes on as far as it can without sleeping. The caller sleeps in
/// between until [`Self::is_woken`].
pub struct PendingRead<C: CacheOps> {
    run: Run,
    since: C::Instant,
    need: Need,
    target: Option<WaitTarget<C>>,
}

/// The result of a step of a [`PendingRead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All pages are present.
    Ready,
    /// The read waits for a session, at most this many milliseconds.
    WaitForSession(Option<u32>),
    /// The read waits for its request, at most this many milliseconds.
    WaitForRequest(Option<u32>),
}

impl<C: CacheOps> PendingRead<C> {
    /// A read of `run` that has not submitted a request, and whose time limit counts
    /// from `since`.
    pub fn new(run: Run, since: C::Instant) -> Self {
        Self {
            run,
            since,
            need: Need::Task,
            target: None,
        }
    }

    /// As [`Self::new`], of a read that fails with EAGAIN if it needs a READ, and the
    /// mount has many that the daemon has not read.
    pub(crate) fn of_readahead(run: Run, since: C::Instant) -> Self {
        Self {
            need: Need::Readahead,
            ..Self::new(run, since)
        }
    }

    /// Start of the read's wait.
    pub fn since(&self) -> C::Instant {
        self.since
    }

    /// Submits requests for missing pages, or finds that the read is over. To be
    /// called once more when the sleep has lasted for the time that the last step
    /// gave.
    ///
    /// A read whose pages are present does not fail, whatever became of its request:
    /// a READ serves many readers, and may end with an error, or late, when it has
    /// brought the pages of some of them.
    ///
    /// # Errors
    ///
    /// EIO if the daemon has answered without writing the pages, if there is no
    /// session and the mount is soft, if the pages lie beyond the end of the object,
    /// or if the mount is being forced away; ENOBUFS if the daemon refused to open
    /// the object; the errno of a READ that failed; ETIMEDOUT; ENOMEM; of a deferred
    /// read, EAGAIN.
    pub fn step(&mut self, mount: &C::Mount, object: &C::Object) -> Result<Step, Errno> {
        // Looked at after the error was found: pages come at any time.
        match self.advance(mount, object) {
            Err(_) if self.run.count != 0 && object.has(self.run) => Ok(Step::Ready),
            step => step,
        }
    }

    fn advance(&mut self, mount: &C::Mount, object: &C::Object) -> Result<Step, Errno> {
        if let Some(ended) = self.target.take_if(|target| target.has_ended()) {
            ended.status(object)?;
        }
        if object.has(self.run) {
            return Ok(Step::Ready);
        }
        if mount.is_aborted() {
            return Err(Errno::EIO);
        }
        let left = time_left(mount.limit(), mount.elapsed(self.since))?;
        if self.target.is_some() {
            return Ok(Step::WaitForRequest(left));
        }
        Ok(match submit_read(mount, object, self.run, self.need)? {
            Submission::Present => Step::Ready,
            Submission::NoSession => Step::WaitForSession(left),
            Submission::Pending(target) => {
                self.target = Some(target);
                Step::WaitForRequest(left)
            }
        })
    }

    /// Returns whether the read has a reason to take the next step.
    pub fn is_woken(&self, mount: &C::Mount) -> bool {
        let completion = self.target.as_ref().map(WaitTarget::completion);
        is_over::<C>(completion, mount)
    }

    /// Ends the wait for a request. To be called when no further step is taken, without
    /// the lock of the request table.
    pub fn leave(&mut self, cache: &C) {
        if let Some(target) = self.target.take() {
            target.leave(cache);
        }
    }

    /// The event that the read waits for after its last step.
    pub(crate) fn waits_for(&self) -> WaitFor {
        match &self.target {
            Some(target) => WaitFor::end_of(target.completion().run()),
            None => WaitFor::Session,
        }
    }

    /// A view of the event that the read waits for.
    pub(crate) fn watch(&self, mount: &C::Mount) -> Watch<C> {
        Watch {
            completion: self.target.as_ref().map(|one| one.completion().clone()),
            mount: mount.clone(),
        }
    }
}

/// The event that a read waits for, when the read itself is out of reach.
pub(crate) struct Watch<C: CacheOps> {
    completion: Option<C::Completion>,
    mount: C::Mount,
}

impl<C: CacheOps> Watch<C> {
    /// Returns whether the read, which is deferred, has a reason to take the next step.
    pub(crate) fn is_over(&self) -> bool {
        is_suspending(self.mount.cache()) || is_over::<C>(self.completion.as_ref(), &self.mount)
    }
}

/// Returns whether the wait for a request is over, or without one, for a session.
fn is_over<C: CacheOps>(completion: Option<&C::Completion>, mount: &C::Mount) -> bool {
    let ready = match completion {
        Some(completion) => completion.outcome().is_some(),
        None => mount.cache().alive().load(Acquire),
    };
    ready || mount.is_aborted()
}

/// Milliseconds left of `limit` after `elapsed` milliseconds; `None` for no limit.
///
/// # Errors
///
/// ETIMEDOUT if none are left.
fn time_left(limit: Option<u32>, elapsed: i64) -> Result<Option<u32>, Errno> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    let left = i64::from(limit).saturating_sub(elapsed);
    match u32::try_from(left) {
        Ok(0) | Err(_) => Err(Errno::ETIMEDOUT),
        Ok(left) => Ok(Some(left)),
    }
}
