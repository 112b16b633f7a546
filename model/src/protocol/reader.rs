// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mounts and reads, and every way in which their waits end (docs/spec/cachefiles-ondemand.md
//! sections 6.3, 6.5 and 6.6).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Blob, Body, Departure, End, EventOutcome, Hold, Kernel, MessageId, Mount, Mounted, Options,
    Pages, Phase, Value, Verdict, Wait, Waiter, Waiting, Want,
};
use crate::observation::Errno;

/// Bytes of a page.
const PAGE_SIZE: u64 = 4096;

impl Kernel {
    pub(super) fn mount(
        &mut self,
        waiter: Waiter,
        mount: Mount,
        blob: Blob,
        options: Options,
        out: &mut Vec<EventOutcome>,
    ) -> bool {
        let held = self.hold(mount, blob).is_some();
        let asked = |other: &Waiting| other.mount == mount && other.blob == blob;
        if held
            || self.state.waiters.contains_key(&waiter)
            || self.state.waiters.values().any(asked)
        {
            return false;
        }
        let options = self
            .state
            .mounts
            .get(&mount)
            .map_or(options, |mounted| mounted.options);
        let (want, wait) = (Want::Blob(options), Wait::Opened);
        self.state.waiters.insert(
            waiter,
            Waiting {
                mount,
                blob,
                want,
                wait,
            },
        );
        if self.is_failed_for_good() {
            self.end(waiter, Err(Errno::ENOBUFS), out);
        } else {
            self.acquire(waiter, out);
        }
        true
    }

    /// Completes the acquisition of a blob by a mount.
    pub(super) fn mounted(&mut self, waiter: Waiter, out: &mut Vec<EventOutcome>) {
        let waiting = self.state.waiters[&waiter];
        if let Want::Blob(options) = waiting.want {
            let new = Mounted {
                options,
                blobs: BTreeMap::new(),
            };
            let mounted = self.state.mounts.entry(waiting.mount).or_insert(new);
            mounted.blobs.insert(waiting.blob, Hold::Live);
        }
        self.end(waiter, Ok(()), out);
    }

    pub(super) fn read(
        &mut self,
        waiter: Waiter,
        mount: Mount,
        blob: Blob,
        pages: Pages,
        out: &mut Vec<EventOutcome>,
    ) -> bool {
        let hold = self.hold(mount, blob);
        if hold.is_none() || self.state.waiters.contains_key(&waiter) {
            return false;
        }
        // The wait is a placeholder until `advance` sets it below.
        let (want, wait) = (Want::Pages(pages), Wait::Session);
        self.state.waiters.insert(
            waiter,
            Waiting {
                mount,
                blob,
                want,
                wait,
            },
        );
        self.advance(waiter, pages, false, out);
        true
    }

    /// Continues a read: requests the missing pages and waits for the first of them.
    fn advance(&mut self, waiter: Waiter, pages: Pages, killed: bool, out: &mut Vec<EventOutcome>) {
        let Waiting { mount, blob, .. } = self.state.waiters[&waiter];
        let withdrawn = self.hold(mount, blob) != Some(Hold::Live) || self.is_failed_for_good();
        if let Some(errno) = self
            .dialect
            .errno(Departure::Detached)
            .filter(|_| withdrawn)
        {
            return self.end(waiter, Err(errno), out);
        }
        let size = self.state.files.get(&blob).map_or(0, |file| file.size);
        let beyond = pages.end > size.div_ceil(PAGE_SIZE);
        if let Some(errno) = self.dialect.errno(Departure::BeyondEnd).filter(|_| beyond) {
            return self.end(waiter, Err(errno), out);
        }
        let missing: BTreeSet<u64> = pages
            .iter()
            .filter(|page| !self.is_present(blob, *page))
            .collect();
        let Some(first) = missing.first().copied() else {
            return self.end(waiter, Ok(()), out);
        };
        let waits = if self.is(Phase::Bound) {
            self.ask(blob, mount, missing, out)
                .map(|message| Wait::Read(message, first))
        } else {
            self.without_session(mount)
        };
        match waits {
            Ok(wait) if killed => {
                self.end(waiter, Err(Errno::EIO), out);
                if let (Wait::Read(message, _), true) =
                    (wait, self.dialect.departs(Departure::KilledReader))
                {
                    self.finish_unwanted(message, out);
                }
            }
            Ok(wait) => self.waiting(waiter).wait = wait,
            Err(errno) => self.end(waiter, Err(errno), out),
        }
    }

    /// Queues the READs of the dialect for these missing pages and returns the one that covers the
    /// first of them.
    fn ask(
        &mut self,
        blob: Blob,
        mount: Mount,
        missing: BTreeSet<u64>,
        out: &mut Vec<EventOutcome>,
    ) -> Result<MessageId, Errno> {
        let first = *missing.first().expect("something is missing");
        let merges = self.dialect.departs(Departure::OverlappingReads);
        let uncovered = |page: &u64| !merges || self.pending_read(blob, *page).is_none();
        let pieces = runs(missing.into_iter()).into_iter();
        let pieces = pieces.flat_map(|run| pieces_of(run, self.longest_read));
        let mut runs: Vec<Pages> = pieces
            .flat_map(|piece| runs(piece.iter().filter(uncovered)))
            .collect();
        if !self.dialect.departs(Departure::SeveralRuns) {
            runs.truncate(1);
        }
        let mut own = None;
        for run in runs {
            let queued = self.enqueue(blob, Some(mount), Body::Read(run), out);
            if self.dialect.departs(Departure::ReopenAtOnce) {
                self.reopen_all(out);
            }
            own = own.or(queued.ok().filter(|_| run.contains(first)));
        }
        let joined = || self.pending_read(blob, first).filter(|_| merges);
        own.or_else(joined).ok_or(Errno::EIO)
    }

    /// EventOutcome for a reader of missing pages while no session is bound.
    fn without_session(&self, mount: Mount) -> Result<Wait, Errno> {
        match self.dialect.errno(Departure::DeadMissing) {
            Some(errno) => Err(errno),
            None if self.state.mounts[&mount].options.wait_for_session => Ok(Wait::Session),
            None => Err(Errno::EIO),
        }
    }

    pub(super) fn resume(&mut self, waiter: Waiter, out: &mut Vec<EventOutcome>) -> bool {
        let Some(waiting) = self.state.waiters.get(&waiter).copied() else {
            return false;
        };
        let (Want::Pages(pages), Wait::Woken { verdict, killed }) = (waiting.want, waiting.wait)
        else {
            return false;
        };
        match self.verdict(waiting, verdict) {
            Ok(()) => self.advance(waiter, pages, killed, out),
            Err(errno) => self.end(waiter, Err(errno), out),
        }
        true
    }

    /// Decides if a woken reader continues.
    fn verdict(&self, waiting: Waiting, verdict: Verdict) -> Result<(), Errno> {
        let Verdict::Completed {
            missing,
            first,
            end,
        } = verdict
        else {
            return Ok(());
        };
        if self.is_spared(waiting) {
            return Ok(());
        }
        let merged = self.dialect.departs(Departure::PartialAnswer);
        let progress = self.is_present(waiting.blob, missing)
            || merged && self.is_present(waiting.blob, first);
        match end {
            End::Answered(errno) => Err(errno),
            End::Done if progress => Ok(()),
            End::Dead => self
                .dialect
                .errno(Departure::DeadMissing)
                .map_or(Ok(()), Err),
            End::Done | End::Failed(_) => Err(Errno::EIO),
        }
    }

    /// True if no error reaches the task, because all pages that it reads are present.
    fn is_spared(&self, waiting: Waiting) -> bool {
        let Want::Pages(pages) = waiting.want else {
            return false;
        };
        let spares = self.dialect.departs(Departure::PresentDespiteError);
        spares && pages.iter().all(|page| self.is_present(waiting.blob, page))
    }

    pub(super) fn kill(&mut self, waiter: Waiter, out: &mut Vec<EventOutcome>) -> bool {
        let Some(waiting) = self.state.waiters.get_mut(&waiter) else {
            return false;
        };
        match &mut waiting.wait {
            Wait::Woken { killed, .. } => *killed = true,
            Wait::Opened | Wait::Dropped => {
                if let Some(errno) = self.dialect.errno(Departure::KilledMount) {
                    self.give_up(waiter, Err(errno), out);
                }
            }
            Wait::Session if matches!(waiting.want, Want::Blob(_)) => {
                self.give_up(waiter, Err(Errno::EINTR), out);
            }
            Wait::Session => self.end(waiter, Err(Errno::EIO), out),
            Wait::Read(message, _) => {
                let message = *message;
                self.end(waiter, Err(Errno::EIO), out);
                if self.dialect.departs(Departure::KilledReader) {
                    self.finish_unwanted(message, out);
                } else {
                    self.finish(message, End::Failed(Errno::EINTR), out);
                }
            }
        }
        true
    }

    pub(super) fn expire(&mut self, waiter: Waiter, out: &mut Vec<EventOutcome>) -> bool {
        let Some(waiting) = self.state.waiters.get(&waiter) else {
            return false;
        };
        let limited = match waiting.want {
            Want::Blob(options) => options.time_limit,
            Want::Pages(_) => self.state.mounts[&waiting.mount].options.time_limit,
        };
        let waits = !matches!(waiting.wait, Wait::Woken { .. });
        let spared = self.is_spared(*waiting);
        match self.dialect.errno(Departure::TimeLimit) {
            Some(_) if limited && waits && spared => self.give_up(waiter, Ok(()), out),
            Some(errno) if limited && waits => self.give_up(waiter, Err(errno), out),
            _ => return false,
        }
        true
    }

    pub(super) fn unmount(
        &mut self,
        mount: Mount,
        force: bool,
        out: &mut Vec<EventOutcome>,
    ) -> bool {
        if !self.state.mounts.contains_key(&mount) {
            return false;
        }
        let waiters = self.state.waiters.iter();
        let busy: Vec<_> = waiters
            .filter(|(_, waiting)| waiting.mount == mount)
            .collect();
        let busy: Vec<Waiter> = busy.into_iter().map(|(waiter, _)| *waiter).collect();
        let refusal = self.dialect.errno(Departure::ForcedUnmount);
        let refusal = if force { refusal } else { Some(Errno::EBUSY) };
        if let Some(errno) = refusal.filter(|_| !busy.is_empty()) {
            out.push(EventOutcome::Returned(Err(errno)));
            return true;
        }
        out.push(EventOutcome::Returned(Ok(Value::Done)));
        for waiter in busy {
            let errno = self.answered(waiter).unwrap_or(Errno::EIO);
            self.give_up(waiter, Err(errno), out);
        }
        let mounted = self.state.mounts.remove(&mount).expect("looked above");
        for blob in mounted.blobs.into_keys() {
            self.drop_unused(blob, out);
        }
        true
    }

    /// The errno that the daemon answered to a reader that has not run since.
    fn answered(&self, waiter: Waiter) -> Option<Errno> {
        match self.state.waiters[&waiter].wait {
            Wait::Woken {
                verdict:
                    Verdict::Completed {
                        end: End::Answered(errno),
                        ..
                    },
                ..
            } => Some(errno),
            _ => None,
        }
    }

    /// Wakes the readers that wait for a session, and has the blobs of mounts that do so opened.
    pub(super) fn wake_parked(&mut self, out: &mut Vec<EventOutcome>) {
        let is_mount = |waiting: &Waiting| matches!(waiting.want, Want::Blob(_));
        let waiters = self.state.waiters.iter();
        let mounts = waiters.filter(|(_, one)| one.wait == Wait::Session && is_mount(one));
        let mounts: Vec<Waiter> = mounts.map(|(waiter, _)| *waiter).collect();
        for waiter in mounts {
            self.acquire(waiter, out);
        }
        for (waiter, waiting) in &mut self.state.waiters {
            if waiting.wait == Wait::Session {
                let verdict = Verdict::NewSession;
                waiting.wait = Wait::Woken {
                    verdict,
                    killed: false,
                };
                out.push(EventOutcome::Woken(*waiter));
            }
        }
    }

    /// The first woken reader.
    pub(super) fn woken(&self) -> Option<Waiter> {
        let mut waiters = self.state.waiters.iter();
        let woken = waiters.find(|(_, waiting)| matches!(waiting.wait, Wait::Woken { .. }));
        woken.map(|(waiter, _)| *waiter)
    }

    /// Ends the wait of a task, and drops an object that had no other user.
    fn give_up(&mut self, waiter: Waiter, result: Result<(), Errno>, out: &mut Vec<EventOutcome>) {
        let Waiting { blob, wait, .. } = self.state.waiters[&waiter];
        self.end(waiter, result, out);
        if let Wait::Read(message, _) = wait {
            self.finish_unwanted(message, out);
        }
        self.drop_unused(blob, out);
    }

    /// Ends a READ that the daemon has never read and that no reader waits for.
    fn finish_unwanted(&mut self, message: MessageId, out: &mut Vec<EventOutcome>) {
        let mut waiters = self.state.waiters.values();
        let wanted = waiters.any(|one| matches!(one.wait, Wait::Read(id, _) if id == message));
        let known = self.request(message).is_none_or(|request| request.known);
        if !wanted && !known {
            self.finish(message, End::Failed(Errno::EIO), out);
        }
    }

    pub(super) fn end(
        &mut self,
        waiter: Waiter,
        result: Result<(), Errno>,
        out: &mut Vec<EventOutcome>,
    ) {
        self.state.waiters.remove(&waiter);
        out.push(EventOutcome::Ended(waiter, result));
    }

    pub(super) fn waiting(&mut self, waiter: Waiter) -> &mut Waiting {
        self.state.waiters.get_mut(&waiter).expect("callers looked")
    }

    fn hold(&self, mount: Mount, blob: Blob) -> Option<Hold> {
        self.state.mounts.get(&mount)?.blobs.get(&blob).copied()
    }

    fn is_present(&self, blob: Blob, page: u64) -> bool {
        let file = self.state.files.get(&blob);
        file.is_some_and(|file| file.present.contains(&page))
    }

    /// True if C has given up the cache because its file system failed.
    fn is_failed_for_good(&self) -> bool {
        let fails = self.dialect.errno(Departure::Detached).is_some();
        fails && self.is(Phase::Failed)
    }
}

/// Groups ascending page numbers into contiguous runs.
fn runs(pages: impl Iterator<Item = u64>) -> Vec<Pages> {
    let mut runs: Vec<Pages> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            _ => runs.push(Pages::new(page, 1)),
        }
    }
    runs
}

/// A run in pieces of `longest` pages, the last one with the rest.
fn pieces_of(run: Pages, longest: Option<u64>) -> Vec<Pages> {
    let Some(longest) = longest else {
        return vec![run];
    };
    let starts = run.iter().step_by(longest as usize);
    starts
        .map(|first| Pages {
            first,
            end: run.end.min(first + longest),
        })
        .collect()
}
