// SPDX-License-Identifier: GPL-2.0

//! The request table: the requests that the daemon has to answer, and the objects
//! that they are about.
//!
//! Events in, actions out. The table takes no lock, reads no clock and allocates
//! nothing: the caller serialises the calls (one lock around the table), provides
//! room ([`Store`]) and executes the answers. A call that removes a request hands
//! out its completion, once; the caller then ends the request with it.
//!
//! A wire id is the low half of a sequence number that a session uses once, so
//! that a late reply finds nothing instead of another request.
//!
//! Source: docs/spec/cachefiles-ondemand.md sections 3 to 6.

mod answer;
mod census;
mod deliver;
mod store;
mod submit;

pub use self::{
    answer::{Answer, Opened},
    census::Census,
    deliver::{Pending, What},
    store::Store,
    submit::Refusal,
};

use crate::run::Run;

/// The types that a table is made of.
pub trait Config {
    /// The handle by which a request is completed; cheap to clone.
    type Completion: Clone;
    /// The caller's reference to an object; cheap to clone.
    type Object: Clone;
    /// The memory for requests.
    type Requests: Store<Request<Self::Completion>>;
    /// The memory for objects.
    type Objects: Store<Object<Self::Object>>;
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The daemon answered; the presence record says what it wrote.
    Answered,
    /// The daemon refused, or the request could not be delivered.
    Failed(crate::Errno),
    /// The session is over.
    Dead,
    /// The object is no longer used.
    Dropped,
}

/// The kind and the range of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Read(Run),
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Queued for the daemon to read.
    New,
    /// A thread of the daemon is reading an OPEN and making its descriptor.
    Delivering,
    /// The daemon has read it.
    Delivered,
}

/// A request.
#[derive(Debug)]
pub struct Request<T> {
    sequence: u64,
    object: u64,
    kind: Kind,
    stage: Stage,
    /// Set by the first delivery: only then can the daemon answer.
    known: bool,
    completion: Option<T>,
}

/// An object as the table sees it.
#[derive(Debug)]
pub struct Object<P> {
    key: u64,
    payload: P,
    /// The id of the daemon's descriptor; 0 for none.
    handle: u32,
    /// The daemon has told the size through the present descriptor.
    open: bool,
    /// Only the CLOSE is left to be read.
    dropped: bool,
}

/// The table.
pub struct Table<C: Config> {
    /// In the order of their sequence numbers.
    requests: C::Requests,
    objects: C::Objects,
    /// The next sequence number.
    next: u64,
    /// The sequence number from which delivery goes on.
    cursor: u64,
    /// The descriptor id that was given out last.
    handles: u32,
    dead: bool,
}

impl<C: Config> Table<C> {
    /// An empty table, without a session.
    pub const fn new(requests: C::Requests, objects: C::Objects) -> Self {
        Self {
            requests,
            objects,
            next: 0,
            cursor: 0,
            handles: 0,
            dead: true,
        }
    }

    /// Starts a session: requests are accepted from now on.
    ///
    /// Objects of earlier sessions stay, without a descriptor.
    pub fn start(&mut self) {
        self.dead = false;
        // No id of an earlier session is in use any more.
        self.next = 0;
        self.cursor = 0;
        self.handles = 0;
        for object in self.objects.as_mut_slice() {
            object.handle = 0;
            object.open = false;
        }
    }

    /// Ends the session: hands all completions to `end`, and refuses further
    /// requests.
    pub fn die(&mut self, mut end: impl FnMut(C::Completion, Outcome)) {
        self.dead = true;
        while let Some(request) = self.requests.remove(0) {
            if let Some(completion) = request.completion {
                end(completion, Outcome::Dead);
            }
        }
        self.forget(|object| object.dropped);
    }

    /// Returns whether there is no session.
    #[inline]
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Adds an object that no daemon knows yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`] if there is no room for it, and for an OPEN and a CLOSE
    /// of each object: those must not fail later.
    pub fn add_object(&mut self, key: u64, payload: C::Object) -> Result<(), Refusal> {
        let object = Object {
            key,
            payload,
            handle: 0,
            open: false,
            dropped: false,
        };
        let reserved = self.reserved().saturating_add(2);
        if self.requests.room() < reserved {
            return Err(Refusal::Full);
        }
        self.objects.push(object).map_err(|_| Refusal::Full)
    }

    /// Drops an object that is no longer used: its requests end, and a CLOSE is
    /// queued if the daemon has a descriptor. Returns whether the device has
    /// become readable.
    pub fn drop_object(&mut self, key: u64, mut end: impl FnMut(C::Completion, Outcome)) -> bool {
        self.drain(
            |request| request.object == key,
            |completion| end(completion, Outcome::Dropped),
        );
        let dead = self.dead;
        let Some(object) = self.object_mut(key) else {
            return false;
        };
        object.dropped = true;
        if dead || !object.open {
            self.forget(|object| object.key == key);
            return false;
        }
        self.push(key, Kind::Close, None).is_ok()
    }

    /// The last reference of the descriptor `handle` of an object is gone.
    /// Returns whether the device has become readable.
    ///
    /// The OPEN that the descriptor came with, if it is unanswered, and unanswered
    /// READs that were delivered through it become new again: the daemon that had
    /// them may be gone. The READs are delivered through the descriptor of the next
    /// OPEN.
    pub fn handle_closed(&mut self, key: u64, handle: u32) -> bool {
        let Some(object) = self.object_mut(key).filter(|one| one.handle == handle) else {
            return false;
        };
        object.handle = 0;
        object.open = false;
        if object.dropped {
            self.drain(|request| request.object == key, |_| {});
            self.forget(|object| object.key == key);
            return false;
        }
        let mut opens = false;
        for request in self.requests.as_mut_slice() {
            if request.object == key {
                // Not being delivered: the object had a descriptor until now.
                opens |= request.kind == Kind::Open && request.stage == Stage::Delivered;
                request.stage = Stage::New;
            }
        }
        opens || self.open_again(key)
    }

    /// Makes all delivered requests new again, except for OPENs whose descriptor
    /// is still open: an object has one descriptor at most.
    pub fn restore(&mut self) {
        let objects = self.objects.as_slice();
        for request in self.requests.as_mut_slice() {
            let of = |object: &&Object<C::Object>| object.key == request.object;
            let live = objects
                .iter()
                .find(of)
                .is_some_and(|object| object.handle != 0);
            let lost = request.kind != Kind::Open || !live;
            if request.stage == Stage::Delivered && lost {
                request.stage = Stage::New;
            }
        }
    }

    /// Returns whether the object is in the table.
    pub fn knows(&self, key: u64) -> bool {
        self.object(key).is_some()
    }

    /// Number of unanswered requests.
    pub fn len(&self) -> usize {
        self.requests.as_slice().len()
    }

    /// Returns whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn object(&self, key: u64) -> Option<&Object<C::Object>> {
        self.objects.as_slice().iter().find(|one| one.key == key)
    }

    fn object_mut(&mut self, key: u64) -> Option<&mut Object<C::Object>> {
        let mut objects = self.objects.as_mut_slice().iter_mut();
        objects.find(|one| one.key == key)
    }

    /// Removes the objects for which `which` holds.
    fn forget(&mut self, which: impl Fn(&Object<C::Object>) -> bool) {
        while let Some(index) = self.objects.as_slice().iter().position(&which) {
            self.objects.remove(index);
        }
    }

    /// Removes the requests for which `which` holds, and hands their completions
    /// to `end`.
    fn drain(
        &mut self,
        which: impl Fn(&Request<C::Completion>) -> bool,
        mut end: impl FnMut(C::Completion),
    ) {
        while let Some(index) = self.requests.as_slice().iter().position(&which) {
            let request = self.requests.remove(index);
            if let Some(completion) = request.and_then(|request| request.completion) {
                end(completion);
            }
        }
    }

    /// Index of the request with this sequence number.
    fn index(&self, sequence: u64) -> Option<usize> {
        let requests = self.requests.as_slice();
        requests
            .binary_search_by_key(&sequence, |request| request.sequence)
            .ok()
    }

    /// Index of the request with this wire id.
    fn index_of_id(&self, id: u32) -> Option<usize> {
        // The latest sequence number that has these low bits: `submit` keeps an
        // older one from being in the table.
        let behind = (self.next as u32).wrapping_sub(id);
        let behind = if behind == 0 {
            1 << 32
        } else {
            u64::from(behind)
        };
        self.index(self.next.checked_sub(behind)?)
    }
}
