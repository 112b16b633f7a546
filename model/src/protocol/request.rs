// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The request table (docs/spec/cachefiles-ondemand.md section 6.2). Removing a request is what
//! entitles to complete it, so that each is completed once.

use super::{
    Blob, Body, Departure, End, EventOutcome, Identity, Kernel, MessageId, Mount, ObjectState,
    Pages, Phase, Readiness, Request, Session, Verdict, Wait,
};
use crate::observation::Errno;

impl Kernel {
    /// Adds a request to the table and wakes pollers.
    ///
    /// # Errors
    /// EIO without a bound session or for an object that is dropped, EBUSY if all ids are in use.
    pub(super) fn enqueue(
        &mut self,
        blob: Blob,
        mount: Option<Mount>,
        body: Body,
        out: &mut Vec<EventOutcome>,
    ) -> Result<MessageId, Errno> {
        let last = self.last_message;
        let object = self.state.objects.get(&blob);
        if object.is_some_and(|object| object.state == ObjectState::Dropping) {
            return Err(Errno::EIO);
        }
        let session = self.state.session.as_mut();
        let session = session
            .filter(|session| session.phase == Phase::Bound)
            .ok_or(Errno::EIO)?;
        let id = free_id(session, last).ok_or(Errno::EBUSY)?;
        session.next_message = id.0.wrapping_add(1);
        session.requests.insert(
            id,
            Request {
                blob,
                mount,
                body,
                new: true,
                known: false,
            },
        );
        out.extend([EventOutcome::Queued(id), EventOutcome::PollersWoken]);
        Ok(id)
    }

    /// Removes a request from the table and completes it: updates its object and wakes its waiters.
    pub(super) fn finish(&mut self, id: MessageId, end: End, out: &mut Vec<EventOutcome>) {
        let session = self.state.session.as_mut();
        let Some(request) = session.and_then(|session| session.requests.remove(&id)) else {
            return;
        };
        out.push(EventOutcome::Completed(id, end.result()));
        match request.body {
            Body::Open => self.opened(request.blob, end, out),
            Body::Close(_) if self.dialect.departs(Departure::FormerLife) => {}
            Body::Close(_) => self.withdraw(request.blob, out),
            Body::Read(pages) => self.wake_readers(id, pages, end, out),
        }
    }

    fn wake_readers(&mut self, id: MessageId, pages: Pages, end: End, out: &mut Vec<EventOutcome>) {
        for (waiter, waiting) in &mut self.state.waiters {
            let Wait::Read(request, missing) = waiting.wait else {
                continue;
            };
            if request == id {
                let verdict = Verdict::Completed {
                    missing,
                    first: pages.first,
                    end,
                };
                waiting.wait = Wait::Woken {
                    verdict,
                    killed: false,
                };
                out.push(EventOutcome::Woken(*waiter));
            }
        }
    }

    /// Completes every request of the table, or of one object.
    pub(super) fn flush(&mut self, of: Option<Blob>, end: End, out: &mut Vec<EventOutcome>) {
        let wanted = |request: &Request| of.is_none_or(|blob| request.blob == blob);
        for id in self.ids(wanted) {
            self.finish(id, end, out);
        }
    }

    /// Ids of all requests that match `wanted`.
    pub(super) fn ids(&self, wanted: impl Fn(&Request) -> bool) -> Vec<MessageId> {
        let session = self.state.session.iter();
        let requests = session.flat_map(|session| &session.requests);
        requests
            .filter(|(_, request)| wanted(request))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The request with this id.
    pub(super) fn request(&self, id: MessageId) -> Option<Request> {
        self.state.session.as_ref()?.requests.get(&id).copied()
    }

    /// The pending READ of the object that covers the page.
    pub(super) fn pending_read(&self, blob: Blob, page: u64) -> Option<MessageId> {
        let covers = |body: Body| matches!(body, Body::Read(pages) if pages.contains(page));
        self.ids(|request| request.blob == blob && covers(request.body))
            .first()
            .copied()
    }

    /// True if a READ of the object has not been delivered.
    pub(super) fn has_new_read(&self, blob: Blob) -> bool {
        let read = |request: &Request| matches!(request.body, Body::Read(_)) && request.new;
        !self
            .ids(|request| request.blob == blob && read(request))
            .is_empty()
    }

    /// True if an OPEN of the object is pending.
    pub(super) fn has_open(&self, blob: Blob) -> bool {
        !self
            .ids(|request| request.blob == blob && request.body == Body::Open)
            .is_empty()
    }

    /// New requests in delivery order: from the last delivered id upwards, then wrapped around; in Ondine, by mount
    /// from the one whose turn it is, and of each mount by id.
    pub(super) fn new_requests(&self) -> Vec<MessageId> {
        let mut ids = self.ids(|request| request.new);
        if let (true, Some(session)) = (
            self.dialect.departs(Departure::DeliveryOrder),
            &self.state.session,
        ) {
            ids.sort_by_key(|id| {
                let mount = session.requests[id].mount;
                (mount < session.turn, mount, *id)
            });
            return ids;
        }
        let next = self
            .state
            .session
            .as_ref()
            .map_or(0, |session| session.next_delivery);
        let behind = ids.iter().take_while(|id| id.0 < next).count();
        ids.rotate_left(behind);
        ids
    }

    /// True if read(2) may return the request: a READ needs its object open.
    pub(super) fn is_deliverable(&self, request: Request) -> bool {
        let open = || self.state.objects[&request.blob].state == ObjectState::Open;
        !matches!(request.body, Body::Read(_)) || open()
    }

    /// Events that poll(2) reports now.
    pub fn readiness(&self) -> Readiness {
        let readable = |request: &Request| {
            if self.dialect.departs(Departure::ReadyMeansMessage) {
                self.is_deliverable(*request)
            } else {
                let reopening =
                    || self.state.objects[&request.blob].state == ObjectState::Reopening;
                !(matches!(request.body, Body::Read(_)) && reopening())
            }
        };
        let dead = self.is(Phase::Dead) || self.is(Phase::Failed);
        Readiness {
            readable: !self
                .ids(|request| request.new && readable(request))
                .is_empty(),
            hung_up: dead && self.dialect.departs(Departure::HangUp),
        }
    }

    /// True if the object has an open descriptor.
    pub(super) fn is_live(&self, blob: Blob) -> bool {
        matches!(self.state.objects[&blob].identity, Identity::Live(_))
    }
}

/// The first free id from the next one up to `last`, then from 0.
fn free_id(session: &Session, last: u32) -> Option<MessageId> {
    let free = |id: &u32| !session.requests.contains_key(&MessageId(*id));
    let next = session.next_message;
    (next..=last)
        .find(free)
        .or_else(|| (0..next).find(free))
        .map(MessageId)
}
