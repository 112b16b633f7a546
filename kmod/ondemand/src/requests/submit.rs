// SPDX-License-Identifier: GPL-2.0

//! Submitting requests, and joining pending ones.

use super::{Config, Kind, Map, Outcome, Read, ReadMemory, Request, RequestMemory, Stage, Table};
use crate::run::Run;

/// Why the table refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no session.
    Dead,
    /// The object is not in the table, or no longer used.
    Dropped,
    /// The mount has too many READs that the daemon has not read, and nobody needs this
    /// one.
    Crowded,
    /// There is no memory in hand: provide more, and try again.
    Full,
    /// All wire ids are in use, or the daemon has a descriptor of the object.
    Busy,
}

impl<C: Config> Table<C> {
    /// Submits an OPEN of an object.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Busy`] also while an OPEN of the object is pending, or
    /// the daemon has a descriptor of it: it cannot have a second one.
    pub fn open(&mut self, key: u64, completion: C::Completion) -> Result<(), Refusal> {
        self.wanted(key)?;
        if self.objects.get(key).is_some_and(|one| one.handle != 0) {
            return Err(Refusal::Busy);
        }
        self.submit_control(key, Kind::Open, Some(completion))
    }

    /// The completion of the pending OPEN of an object, for one more waiter.
    pub fn join_open(&self, key: u64) -> Option<C::Completion> {
        let request = self.requests.get(self.objects.get(key)?.control?)?;
        request.completion.clone()
    }

    /// Submits a READ of pages of an object. Returns whether the device has become
    /// readable.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Busy`] also if a pending READ covers one of the pages.
    pub fn read(
        &mut self,
        key: u64,
        lane: &C::Lane,
        pages: Run,
        completion: C::Completion,
        memory: ReadMemory<C>,
    ) -> Result<bool, Refusal> {
        let open = self.wanted(key)?;
        let next = self.next_read(key, pages.first);
        if next.is_some_and(|read| read.run.first < pages.end()) {
            return Err(Refusal::Busy);
        }
        let sequence = self.free_sequence()?;
        let read = Read {
            run: pages,
            sequence,
        };
        self.reads.insert(memory.read, (key, pages.end()), read);
        self.insert(
            sequence,
            key,
            Some(lane.clone()),
            Kind::Read(pages),
            Some(completion),
            memory.request,
        );
        if open {
            self.make_ready(sequence);
        }
        Ok(open || self.open_again(key))
    }

    /// The completion of the pending READ that covers `page`, for one more waiter.
    ///
    /// A waiter that gives up does not withdraw a request that the daemon has read: it
    /// may be writing its answer. That stays until it is answered, or the object or
    /// the session goes.
    pub fn join(&self, key: u64, page: u64) -> Option<C::Completion> {
        let read = self.next_read(key, page)?;
        let request = self
            .requests
            .get(read.sequence)
            .filter(|_| read.run.contains(page));
        request?.completion.clone()
    }

    /// Removes the READ of `pages` of an object if the daemon has never read it, and if
    /// `is_unwanted` says of its completion that nobody waits for it. Returns the
    /// completion.
    pub fn withdraw(
        &mut self,
        key: u64,
        pages: Run,
        is_unwanted: impl FnOnce(&C::Completion) -> bool,
    ) -> Option<C::Completion> {
        let read = self.next_read(key, pages.first)?;
        let request = self
            .requests
            .get(read.sequence)
            .filter(|_| read.run == pages)?;
        let unwanted = request.completion.as_ref().is_some_and(is_unwanted);
        if request.known || !unwanted {
            return None;
        }
        self.take(read.sequence)?.completion
    }

    /// The first part of `pages` that no pending READ of the object covers.
    pub fn uncovered(&self, key: u64, pages: Run) -> Option<Run> {
        let mut first = pages.first;
        while first < pages.end() {
            let end = match self.next_read(key, first) {
                Some(read) if read.run.contains(first) => {
                    first = read.run.end();
                    continue;
                }
                Some(read) => read.run.first.min(pages.end()),
                None => pages.end(),
            };
            let count = end.saturating_sub(first);
            return Some(Run { first, count });
        }
        None
    }

    /// Ends the READs of an object without an answer.
    pub fn cancel_reads(
        &mut self,
        key: u64,
        outcome: Outcome,
        mut end: impl FnMut(C::Completion, Outcome),
    ) {
        while let Some(read) = self.next_read(key, 0) {
            let taken = self.take(read.sequence);
            if let Some(completion) = taken.and_then(|taken| taken.completion) {
                end(completion, outcome);
            }
        }
    }

    /// Submits an OPEN if READs of the object need one to be delivered. Returns
    /// whether it did.
    ///
    /// While the daemon has a descriptor an OPEN could only fail: it has yet to
    /// answer the last OPEN, or to close the descriptor of one that it refused.
    pub(super) fn open_again(&mut self, key: u64) -> bool {
        let object = self.objects.get(key);
        let closed = object.is_some_and(|one| one.handle == 0 && one.control.is_none());
        let reads = closed && !self.dead && self.next_read(key, 0).is_some();
        reads && self.submit_control(key, Kind::Open, None).is_ok()
    }

    /// Submits an OPEN or a CLOSE, in memory that the object has for one of them.
    pub(super) fn submit_control(
        &mut self,
        key: u64,
        kind: Kind,
        completion: Option<C::Completion>,
    ) -> Result<(), Refusal> {
        let sequence = self.free_sequence()?;
        let object = self.objects.get_mut(key).ok_or(Refusal::Dropped)?;
        let memory = object.control_memory.take().ok_or(Refusal::Busy)?;
        object.control = Some(sequence);
        self.insert(sequence, key, None, kind, completion, memory);
        self.make_ready(sequence);
        Ok(())
    }

    /// The first pending READ of an object that ends after `page`: the one that covers
    /// the page, or the next one.
    pub(super) fn next_read(&self, key: u64, page: u64) -> Option<Read> {
        let from = (key, page.saturating_add(1));
        let ((object, _), read) = self.reads.at_or_after(from)?;
        Some(*read).filter(|_| object == key)
    }

    /// The next sequence number.
    fn free_sequence(&self) -> Result<u64, Refusal> {
        let oldest = self.requests.at_or_after(0);
        let oldest = oldest.map_or(self.next, |(sequence, _)| sequence);
        if self.next.wrapping_sub(oldest) > u64::from(u32::MAX) {
            return Err(Refusal::Busy);
        }
        Ok(self.next)
    }

    /// Adds a new request, which the daemon cannot read yet.
    fn insert(
        &mut self,
        sequence: u64,
        key: u64,
        lane: Option<C::Lane>,
        kind: Kind,
        completion: Option<C::Completion>,
        memory: RequestMemory<C>,
    ) {
        let request = Request {
            object: key,
            lane,
            kind,
            stage: Stage::New,
            known: false,
            completion,
            ready: Some(memory.ready),
        };
        request.count_in();
        self.requests.insert(memory.request, sequence, request);
        self.next = sequence.wrapping_add(1);
    }

    /// Returns whether READs of the object can be delivered.
    fn wanted(&self, key: u64) -> Result<bool, Refusal> {
        if self.dead {
            return Err(Refusal::Dead);
        }
        match self.objects.get(key) {
            Some(object) if !object.dropped => Ok(object.open),
            _ => Err(Refusal::Dropped),
        }
    }
}
