// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Life of an object (docs/spec/cachefiles-ondemand.md section 6.1): opened for a mount, closed
//! with its descriptor, re-opened for a READ, dropped when no longer used.

use super::{
    Blob, Body, Departure, End, EventOutcome, Hold, Identity, Kernel, MessageId, Object,
    ObjectState, Request, Wait, Waiter, Want,
};
use crate::observation::Errno;

impl Kernel {
    /// Gives a mount its blob, or makes it wait for it.
    pub(super) fn acquire(&mut self, waiter: Waiter, out: &mut Vec<EventOutcome>) {
        let blob = self.state.waiters[&waiter].blob;
        let wait = match self.state.objects.get(&blob).map(|object| object.state) {
            // A hard mount has kept it through the end of a session.
            Some(ObjectState::Opening) if !self.has_open(blob) => {
                if self.enqueue(blob, None, Body::Open, out).is_err() {
                    return self.end(waiter, Err(Errno::ENOBUFS), out);
                }
                Wait::Opened
            }
            Some(ObjectState::Opening) => Wait::Opened,
            Some(ObjectState::Dropping) => Wait::Dropped,
            Some(_) => return self.mounted(waiter, out),
            None => {
                let object = Object {
                    identity: Identity::Never,
                    state: ObjectState::Opening,
                };
                self.state.objects.insert(blob, object);
                if self.enqueue(blob, None, Body::Open, out).is_err() {
                    self.state.objects.remove(&blob);
                    return self.end(waiter, Err(Errno::ENOBUFS), out);
                }
                Wait::Opened
            }
        };
        self.waiting(waiter).wait = wait;
    }

    /// Handles the completion of an OPEN.
    pub(super) fn opened(&mut self, blob: Blob, end: End, out: &mut Vec<EventOutcome>) {
        let live = self.is_live(blob);
        let object = self
            .state
            .objects
            .get_mut(&blob)
            .expect("requests have objects");
        let first = object.state == ObjectState::Opening;
        if end == End::Done {
            object.state = ObjectState::Open;
            out.push(EventOutcome::PollersWoken);
            self.openers(blob)
                .into_iter()
                .for_each(|waiter| self.mounted(waiter, out));
        } else if first {
            for waiter in self.openers(blob) {
                if end == End::Dead && self.waits_for_session(waiter) {
                    self.waiting(waiter).wait = Wait::Session;
                } else {
                    self.end(waiter, Err(Errno::ENOBUFS), out);
                }
            }
            if self.waiters_for(blob, Wait::Session).is_empty() {
                self.withdraw(blob, out);
            }
        } else if !live {
            object.state = ObjectState::Closed;
        }
    }

    /// Queues a further OPEN for a closed object that a READ needs, unless one is pending.
    pub(super) fn reopen(&mut self, blob: Blob, out: &mut Vec<EventOutcome>) {
        if self.has_open(blob) || self.enqueue(blob, None, Body::Open, out).is_ok() {
            self.object(blob).state = ObjectState::Reopening;
        }
    }

    /// Handles the loss of the object's descriptor. An OPEN that becomes new again can be delivered at once; a READ
    /// waits for the OPEN that is queued for it.
    pub(super) fn closed(&mut self, blob: Blob, out: &mut Vec<EventOutcome>) {
        if self.dialect.departs(Departure::LostDescriptor) {
            let requests = self.state.session.iter_mut();
            let requests = requests.flat_map(|session| session.requests.values_mut());
            let unanswered = |request: &&mut Request| {
                request.blob == blob && matches!(request.body, Body::Open | Body::Read(_))
            };
            for request in requests.filter(unanswered) {
                if request.body == Body::Open && !request.new {
                    out.push(EventOutcome::PollersWoken);
                }
                request.new = true;
            }
        }
        let object = self.object(blob);
        object.identity = Identity::Closed;
        if matches!(object.state, ObjectState::Open | ObjectState::Reopening) {
            object.state = ObjectState::Closed;
        }
    }

    /// Drops the object if no mount uses it or waits for it.
    pub(super) fn drop_unused(&mut self, blob: Blob, out: &mut Vec<EventOutcome>) {
        let Some(object) = self.state.objects.get(&blob) else {
            return;
        };
        let state = object.state;
        let held = |hold: Option<&Hold>| hold == Some(&Hold::Live);
        let mounted = self
            .state
            .mounts
            .values()
            .any(|mount| held(mount.blobs.get(&blob)));
        let wanted = [Wait::Opened, Wait::Session].map(|wait| self.waiters_for(blob, wait));
        let wanted = wanted.iter().any(|waiters| !waiters.is_empty());
        if mounted || wanted || state == ObjectState::Dropping {
            return;
        }
        let told = state == ObjectState::Open && self.enqueue_close(blob, out).is_ok();
        let failed = End::Failed(Errno::EIO);
        let is_close = |body: Body| matches!(body, Body::Close(_));
        for id in self.ids(|request| request.blob == blob && !is_close(request.body)) {
            self.finish(id, failed, out);
        }
        if told && !self.dialect.departs(Departure::FormerLife) {
            self.object(blob).state = ObjectState::Dropping;
        } else {
            self.withdraw(blob, out);
        }
    }

    fn enqueue_close(
        &mut self,
        blob: Blob,
        out: &mut Vec<EventOutcome>,
    ) -> Result<MessageId, Errno> {
        let Identity::Live(object) = self.state.objects[&blob].identity else {
            unreachable!("an open object has a descriptor");
        };
        self.enqueue(blob, None, Body::Close(object), out)
    }

    /// Removes the object. Its descriptor stays open without an object. Mounts that waited for this
    /// continue.
    pub(super) fn withdraw(&mut self, blob: Blob, out: &mut Vec<EventOutcome>) {
        let Some(object) = self.state.objects.remove(&blob) else {
            return;
        };
        if let (Identity::Live(id), Some(session)) = (object.identity, &mut self.state.session) {
            session.descriptors.insert(id, None);
        }
        for waiter in self.waiters_for(blob, Wait::Dropped) {
            self.acquire(waiter, out);
        }
    }

    /// Handles the loss of the cache.
    pub(super) fn detach(&mut self, out: &mut Vec<EventOutcome>) {
        let blobs: Vec<Blob> = self.state.objects.keys().copied().collect();
        for blob in blobs {
            if self.dialect.departs(Departure::Detach) {
                self.closed(blob, out);
                continue;
            }
            self.withdraw(blob, out);
            for mount in self.state.mounts.values_mut() {
                mount
                    .blobs
                    .entry(blob)
                    .and_modify(|hold| *hold = Hold::Withdrawn);
            }
        }
    }

    pub(super) fn object(&mut self, blob: Blob) -> &mut Object {
        self.state.objects.get_mut(&blob).expect("callers looked")
    }

    /// Returns whether a mount that loses its session waits for the next one.
    fn waits_for_session(&self, waiter: Waiter) -> bool {
        let hard = match self.state.waiters[&waiter].want {
            Want::Blob(options) => options.wait_for_session,
            Want::Pages(_) => false,
        };
        hard && self.dialect.errno(Departure::DeadMissing).is_none()
    }

    fn openers(&self, blob: Blob) -> Vec<Waiter> {
        self.waiters_for(blob, Wait::Opened)
    }

    /// The mounts that wait for the blob in this way.
    fn waiters_for(&self, blob: Blob, wait: Wait) -> Vec<Waiter> {
        let waiters = self.state.waiters.iter();
        let wanted = waiters.filter(|(_, waiting)| {
            waiting.blob == blob && waiting.wait == wait && matches!(waiting.want, Want::Blob(_))
        });
        wanted.map(|(waiter, _)| *waiter).collect()
    }
}
