// SPDX-License-Identifier: GPL-2.0

//! Submitting requests, and joining pending ones.

use super::{Config, Kind, Outcome, Request, Stage, Store, Table};
use crate::run::Run;

/// Why the table refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no session.
    Dead,
    /// The object is not in the table, or no longer used.
    Dropped,
    /// There is no room: provide more, and try again.
    Full,
    /// All wire ids are in use, or the daemon has a descriptor of the object.
    Busy,
}

impl<C: Config> Table<C> {
    /// Submits an OPEN of an object.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Busy`] also while the daemon has a descriptor of
    /// the object: it cannot have a second one.
    pub fn open(&mut self, key: u64, completion: C::Completion) -> Result<(), Refusal> {
        self.wanted(key)?;
        if self.object(key).is_some_and(|object| object.handle != 0) {
            return Err(Refusal::Busy);
        }
        self.push(key, Kind::Open, Some(completion))?;
        Ok(())
    }

    /// The completion of the pending OPEN of an object, for one more waiter.
    pub fn join_open(&self, key: u64) -> Option<C::Completion> {
        let mut requests = self.requests.as_slice().iter();
        let request = requests.find(|one| one.object == key && one.kind == Kind::Open)?;
        request.completion.clone()
    }

    /// Submits a READ of pages of an object. Returns whether the device has become
    /// readable.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn read(
        &mut self,
        key: u64,
        pages: Run,
        completion: C::Completion,
    ) -> Result<bool, Refusal> {
        let open = self.wanted(key)?;
        if self.requests.room() <= self.reserved() {
            return Err(Refusal::Full);
        }
        self.push(key, Kind::Read(pages), Some(completion))?;
        Ok(open || self.open_again(key))
    }

    /// The completion of the pending READ that covers `page`, for one more waiter.
    ///
    /// A waiter that gives up does not withdraw the request: the daemon may be
    /// writing its answer, and others may wait for it. It stays until it is
    /// answered, or the object or the session goes.
    pub fn join(&self, key: u64, page: u64) -> Option<C::Completion> {
        let mut requests = self.requests.as_slice().iter();
        let request = requests.find(|request| covers(request, key, page))?;
        request.completion.clone()
    }

    /// The first part of `pages` that no pending READ of the object covers.
    pub fn uncovered(&self, key: u64, pages: Run) -> Option<Run> {
        let mut first = pages.first;
        while first < pages.end() {
            match self.covering(key, first) {
                Some(covered) => first = covered.end(),
                None => {
                    let next = self.next_covered(key, first).min(pages.end());
                    let count = next.saturating_sub(first);
                    return Some(Run { first, count });
                }
            }
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
        self.drain(
            |request| request.object == key && matches!(request.kind, Kind::Read(_)),
            |completion| end(completion, outcome),
        );
    }

    /// Room for requests with which the next call of [`Self::read`] or
    /// [`Self::add_object`] succeeds.
    pub fn room_wanted(&self) -> usize {
        self.reserved().saturating_add(3)
    }

    /// The memory for requests and objects, so that the caller can add room.
    pub fn stores(&mut self) -> (&mut C::Requests, &mut C::Objects) {
        (&mut self.requests, &mut self.objects)
    }

    /// Room that is reserved for an OPEN and a CLOSE of each object.
    pub(super) fn reserved(&self) -> usize {
        self.objects.as_slice().len().saturating_mul(2)
    }

    /// Submits an OPEN if READs of the object need one to be delivered. Returns
    /// whether it did.
    ///
    /// While the daemon has a descriptor an OPEN could only fail: it has yet to
    /// answer the last OPEN, or to close the descriptor of one that it refused.
    pub(super) fn open_again(&mut self, key: u64) -> bool {
        if self.object(key).is_none_or(|object| object.handle != 0) {
            return false;
        }
        let of = |request: &Request<C::Completion>| request.object == key;
        let requests = self.requests.as_slice();
        let opening = requests.iter().any(|one| of(one) && one.kind == Kind::Open);
        let reading = requests
            .iter()
            .any(|one| of(one) && matches!(one.kind, Kind::Read(_)));
        !opening && reading && !self.dead && self.push(key, Kind::Open, None).is_ok()
    }

    pub(super) fn push(
        &mut self,
        key: u64,
        kind: Kind,
        completion: Option<C::Completion>,
    ) -> Result<u64, Refusal> {
        let oldest = self.requests.as_slice().first();
        let oldest = oldest.map_or(self.next, |request| request.sequence);
        if self.next.wrapping_sub(oldest) > u64::from(u32::MAX) {
            return Err(Refusal::Busy);
        }
        let sequence = self.next;
        self.requests
            .push(Request {
                sequence,
                object: key,
                kind,
                stage: Stage::New,
                known: false,
                completion,
            })
            .map_err(|_| Refusal::Full)?;
        self.next = sequence.wrapping_add(1);
        Ok(sequence)
    }

    /// Returns whether READs of the object can be delivered.
    fn wanted(&self, key: u64) -> Result<bool, Refusal> {
        if self.dead {
            return Err(Refusal::Dead);
        }
        match self.object(key) {
            Some(object) if !object.dropped => Ok(object.open),
            _ => Err(Refusal::Dropped),
        }
    }

    fn covering(&self, key: u64, page: u64) -> Option<Run> {
        let mut requests = self.requests.as_slice().iter();
        let request = requests.find(|request| covers(request, key, page))?;
        match request.kind {
            Kind::Read(pages) => Some(pages),
            _ => None,
        }
    }

    /// The first page after `page` that a pending READ of the object covers.
    fn next_covered(&self, key: u64, page: u64) -> u64 {
        let requests = self.requests.as_slice().iter();
        requests
            .filter(|request| request.object == key)
            .filter_map(|request| match request.kind {
                Kind::Read(pages) if pages.first > page => Some(pages.first),
                _ => None,
            })
            .min()
            .unwrap_or(u64::MAX)
    }
}

fn covers<T>(request: &Request<T>, key: u64, page: u64) -> bool {
    request.object == key && matches!(request.kind, Kind::Read(pages) if pages.contains(page))
}
