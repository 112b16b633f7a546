// SPDX-License-Identifier: GPL-2.0

//! Asking: how requests come into the table, and how others join them.

use super::{Kind, Object, Outcome, Request, Stage, Store, Table};
use crate::presence::Run;

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no session.
    Dead,
    /// The object is not in the table, or no longer wanted.
    Dropped,
    /// There is no room: give the table more, and try again.
    Full,
    /// All wire ids are in use, or the daemon has a descriptor already.
    Busy,
}

impl<T, P, R, O> Table<T, P, R, O>
where
    T: Clone,
    P: Clone,
    R: Store<Request<T>>,
    O: Store<Object<P>>,
{
    /// Asks the daemon to open an object, for one who waits.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Busy`] also while the daemon has a descriptor of
    /// the object: there can be no second one.
    pub fn open(&mut self, key: u64, ticket: T) -> Result<(), Refusal> {
        self.wanted(key)?;
        if self.object(key).is_some_and(|object| object.handle != 0) {
            return Err(Refusal::Busy);
        }
        self.push(key, Kind::Open, Some(ticket))?;
        Ok(())
    }

    /// Joins those who wait for the OPEN of an object: its ticket.
    pub fn join_open(&self, key: u64) -> Option<T> {
        let mut requests = self.requests.as_slice().iter();
        let request = requests.find(|one| one.object == key && one.kind == Kind::Open)?;
        request.ticket.clone()
    }

    /// Asks for pages of an object, which nobody waits for yet.
    ///
    /// Returns whether there is something to read for the daemon now.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn read(&mut self, key: u64, pages: Run, ticket: T) -> Result<bool, Refusal> {
        let open = self.wanted(key)?;
        if self.requests.room() <= self.reserved() {
            return Err(Refusal::Full);
        }
        self.push(key, Kind::Read(pages), Some(ticket))?;
        Ok(open || self.open_again(key))
    }

    /// The ticket of the READ that covers `page`, for one more who waits for it.
    ///
    /// Those who wait may give up without a word: the request stays until it is
    /// answered, or the object or the session goes. The daemon may be writing its
    /// answer, and others may want it.
    pub fn join(&self, key: u64, page: u64) -> Option<T> {
        let mut requests = self.requests.as_slice().iter();
        let request = requests.find(|request| covers(request, key, page))?;
        request.ticket.clone()
    }

    /// The first part of `pages` that no READ of the object covers.
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

    /// Ends the READs of an object, without an answer.
    pub fn cancel_reads(&mut self, key: u64, outcome: Outcome, mut end: impl FnMut(T, Outcome)) {
        self.drain(
            |request| request.object == key && matches!(request.kind, Kind::Read(_)),
            |ticket| end(ticket, outcome),
        );
    }

    /// Room for so many requests makes the next call of [`Self::read`] or
    /// [`Self::add_object`] succeed.
    pub fn room_wanted(&self) -> usize {
        self.reserved().saturating_add(3)
    }

    /// What the table keeps its requests and its objects in, to give it room.
    pub fn stores(&mut self) -> (&mut R, &mut O) {
        (&mut self.requests, &mut self.objects)
    }

    /// Room that is kept for an OPEN and a CLOSE of each object.
    pub(super) fn reserved(&self) -> usize {
        self.objects.as_slice().len().saturating_mul(2)
    }

    /// Sends an OPEN if there are READs of the object that cannot be delivered
    /// without one. Returns whether it did.
    ///
    /// While the daemon has a descriptor, an OPEN could only fail: what is
    /// missing is its answer, or that it closes a descriptor whose OPEN it has
    /// refused.
    pub(super) fn open_again(&mut self, key: u64) -> bool {
        if self.object(key).is_none_or(|object| object.handle != 0) {
            return false;
        }
        let of = |request: &Request<T>| request.object == key;
        let requests = self.requests.as_slice();
        let opening = requests.iter().any(|one| of(one) && one.kind == Kind::Open);
        let reading = requests
            .iter()
            .any(|one| of(one) && matches!(one.kind, Kind::Read(_)));
        !opening && reading && !self.dead && self.push(key, Kind::Open, None).is_ok()
    }

    pub(super) fn push(&mut self, key: u64, kind: Kind, ticket: Option<T>) -> Result<u64, Refusal> {
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
                ticket,
            })
            .map_err(|_| Refusal::Full)?;
        self.next = sequence.wrapping_add(1);
        Ok(sequence)
    }

    /// Whether READs of the object can be delivered.
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

    /// The first page after `page` that a READ of the object covers.
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
