// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The life of an object (6.1): opened for a mount, closed with its descriptor, re-opened for a READ, dropped when
//! nobody uses it.

use super::{
    Blob, Body, Departure, End, Hold, Identity, Kernel, MessageId, Object, ObjectState, Outcome,
    Wait, Waiter, Want,
};
use crate::observation::Errno;

impl Kernel {
    /// Gives a mount its blob, or lets it wait for it.
    pub(super) fn acquire(&mut self, waiter: Waiter, out: &mut Vec<Outcome>) {
        let blob = self.state.waiters[&waiter].blob;
        let wait = match self.state.objects.get(&blob).map(|object| object.state) {
            Some(ObjectState::Opening) => Wait::Opened,
            Some(ObjectState::Dropping) => Wait::Dropped,
            Some(_) => return self.mounted(waiter, out),
            None => {
                let object = Object {
                    identity: Identity::Never,
                    state: ObjectState::Opening,
                };
                self.state.objects.insert(blob, object);
                if self.enqueue(blob, Body::Open, out).is_err() {
                    self.state.objects.remove(&blob);
                    return self.end(waiter, Err(Errno::ENOBUFS), out);
                }
                Wait::Opened
            }
        };
        self.waiting(waiter).wait = wait;
    }

    /// An OPEN is completed.
    pub(super) fn opened(&mut self, blob: Blob, end: End, out: &mut Vec<Outcome>) {
        let live = self.is_live(blob);
        let object = self
            .state
            .objects
            .get_mut(&blob)
            .expect("requests have objects");
        let first = object.state == ObjectState::Opening;
        if end == End::Done {
            object.state = ObjectState::Open;
            out.push(Outcome::PollersWoken);
            self.openers(blob)
                .into_iter()
                .for_each(|waiter| self.mounted(waiter, out));
        } else if first {
            let openers = self.openers(blob);
            openers
                .into_iter()
                .for_each(|waiter| self.end(waiter, Err(Errno::ENOBUFS), out));
            self.withdraw(blob, out);
        } else if !live {
            object.state = ObjectState::Closed;
        }
    }

    /// A closed object that a READ needs gets a further OPEN, unless one is pending.
    pub(super) fn reopen(&mut self, blob: Blob, out: &mut Vec<Outcome>) {
        if self.has_open(blob) || self.enqueue(blob, Body::Open, out).is_ok() {
            self.object(blob).state = ObjectState::Reopening;
        }
    }

    /// The object's descriptor is gone.
    pub(super) fn closed(&mut self, blob: Blob) {
        if self.dialect.departs(Departure::LostDescriptor) {
            let requests = self.state.session.iter_mut();
            let requests = requests.flat_map(|session| session.requests.values_mut());
            requests
                .filter(|request| request.blob == blob && matches!(request.body, Body::Read(_)))
                .for_each(|request| request.new = true);
        }
        let object = self.object(blob);
        object.identity = Identity::Closed;
        if matches!(object.state, ObjectState::Open | ObjectState::Reopening) {
            object.state = ObjectState::Closed;
        }
    }

    /// Drops the object if no mount uses it and none is about to.
    pub(super) fn drop_unused(&mut self, blob: Blob, out: &mut Vec<Outcome>) {
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
        if mounted || !self.openers(blob).is_empty() || state == ObjectState::Dropping {
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

    fn enqueue_close(&mut self, blob: Blob, out: &mut Vec<Outcome>) -> Result<MessageId, Errno> {
        let Identity::Live(object) = self.state.objects[&blob].identity else {
            unreachable!("an open object has a descriptor");
        };
        self.enqueue(blob, Body::Close(object), out)
    }

    /// The object is gone; its descriptor stays, behind which there is nothing. Mounts that waited for this start.
    pub(super) fn withdraw(&mut self, blob: Blob, out: &mut Vec<Outcome>) {
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

    /// The cache went away.
    pub(super) fn detach(&mut self, out: &mut Vec<Outcome>) {
        let blobs: Vec<Blob> = self.state.objects.keys().copied().collect();
        for blob in blobs {
            if self.dialect.departs(Departure::Detach) {
                self.closed(blob);
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

    fn openers(&self, blob: Blob) -> Vec<Waiter> {
        self.waiters_for(blob, Wait::Opened)
    }

    fn waiters_for(&self, blob: Blob, wait: Wait) -> Vec<Waiter> {
        let waiters = self.state.waiters.iter();
        let wanted = waiters.filter(|(_, waiting)| {
            waiting.blob == blob && waiting.wait == wait && matches!(waiting.want, Want::Blob(_))
        });
        wanted.map(|(waiter, _)| *waiter).collect()
    }
}
