// SPDX-License-Identifier: GPL-2.0

//! The request table: what the kernel has asked the daemon, and of which object.
//!
//! Events in, actions out. The table takes no lock, reads no clock and allocates
//! nothing: the caller serialises the calls (one lock around the table), gives it
//! room ([`Store`]) and executes what it answers. Whoever removes a request from
//! the table, and only he, gets its ticket, and ends the request with it: a
//! ticket is given out once.
//!
//! A wire id is the low half of a sequence number that a session uses once, so
//! that a late reply finds nothing instead of another request.
//!
//! Source: cachefiles-ondemand.md, sections 3 to 6.

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

use crate::presence::Run;
use core::marker::PhantomData;

impl Run {
    /// No pages.
    pub const EMPTY: Run = Run { first: 0, count: 0 };

    /// The page after the last one.
    #[inline]
    pub const fn end(self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// Whether `page` is one of them.
    #[inline]
    pub const fn contains(self, page: u64) -> bool {
        page >= self.first && page < self.end()
    }

    /// Those of them before page `end`.
    pub const fn before(self, end: u64) -> Self {
        let room = end.saturating_sub(self.first);
        Self {
            first: self.first,
            count: if self.count < room { self.count } else { room },
        }
    }

    /// These pages and those of `other`; `None` if there are others in between.
    pub fn joined(self, other: Self) -> Option<Self> {
        if self.count == 0 {
            return Some(other);
        }
        if other.first > self.end() || self.first > other.end() {
            return None;
        }
        let first = self.first.min(other.first);
        Some(Self {
            first,
            count: self.end().max(other.end()).saturating_sub(first),
        })
    }
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The daemon answered; what it wrote is to be looked at.
    Answered,
    /// The daemon refused, or the request could not be delivered.
    Failed(crate::Errno),
    /// The session is over.
    Dead,
    /// The object is no longer wanted.
    Dropped,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Read(Run),
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for the daemon to read it.
    New,
    /// A thread of the daemon is getting it, and a descriptor with it.
    Delivering,
    /// The daemon has it.
    Delivered,
}

/// One request.
#[derive(Debug)]
pub struct Request<T> {
    sequence: u64,
    object: u64,
    kind: Kind,
    stage: Stage,
    /// Whether the daemon has ever had it: only then can it answer.
    known: bool,
    ticket: Option<T>,
}

/// What the table knows of an object.
#[derive(Debug)]
pub struct Object<P> {
    key: u64,
    payload: P,
    /// The id of the descriptor that the daemon has of it; 0 for none.
    handle: u32,
    /// The daemon said how large it is, through the present descriptor.
    open: bool,
    /// Only its CLOSE is left to be told.
    dropped: bool,
}

/// The table. `T` is the ticket of a request, `P` what the caller keeps of an
/// object; both are cheap to clone.
#[derive(Debug)]
pub struct Table<T, P, R, O> {
    /// In the order of their sequence numbers.
    requests: R,
    objects: O,
    /// The next sequence number.
    next: u64,
    /// The sequence number from which delivery goes on.
    cursor: u64,
    /// The object id that was given out last.
    handles: u32,
    dead: bool,
    types: PhantomData<(T, P)>,
}

impl<T, P, R, O> Table<T, P, R, O>
where
    T: Clone,
    P: Clone,
    R: Store<Request<T>>,
    O: Store<Object<P>>,
{
    /// An empty table, without a session.
    pub const fn new(requests: R, objects: O) -> Self {
        Self {
            requests,
            objects,
            next: 0,
            cursor: 0,
            handles: 0,
            dead: true,
            types: PhantomData,
        }
    }

    /// A daemon has bound the cache: requests are taken from now on.
    ///
    /// Objects of earlier sessions are there still; the daemon of this one has
    /// no descriptor of them yet.
    pub fn start(&mut self) {
        self.dead = false;
        // Nothing that knows an id of an earlier session is left.
        self.next = 0;
        self.cursor = 0;
        self.handles = 0;
        for object in self.objects.as_mut_slice() {
            object.handle = 0;
            object.open = false;
        }
    }

    /// The session is over: every request ends, and none is taken any more.
    pub fn die(&mut self, mut end: impl FnMut(T, Outcome)) {
        self.dead = true;
        while let Some(request) = self.requests.remove(0) {
            if let Some(ticket) = request.ticket {
                end(ticket, Outcome::Dead);
            }
        }
        self.forget(|object| object.dropped);
    }

    /// Whether there is no session.
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
    pub fn add_object(&mut self, key: u64, payload: P) -> Result<(), Refusal> {
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

    /// Nobody wants the object any more. Its requests end; the daemon is told,
    /// if it has a descriptor. Returns whether there is something to read.
    pub fn drop_object(&mut self, key: u64, mut end: impl FnMut(T, Outcome)) -> bool {
        self.drain(
            |request| request.object == key,
            |ticket| end(ticket, Outcome::Dropped),
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
    /// Returns whether there is something to read.
    ///
    /// What the daemon had been asked through it is asked again, through the
    /// descriptor that comes with a new OPEN.
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
        for request in self.requests.as_mut_slice() {
            if request.object == key && matches!(request.kind, Kind::Read(_)) {
                request.stage = Stage::New;
            }
        }
        self.open_again(key)
    }

    /// Everything that has been delivered is to be delivered again, but for OPENs
    /// whose descriptor someone has: there can be no second one.
    pub fn restore(&mut self) {
        let objects = self.objects.as_slice();
        for request in self.requests.as_mut_slice() {
            let of = |object: &&Object<P>| object.key == request.object;
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

    /// Whether the object is in the table.
    pub fn knows(&self, key: u64) -> bool {
        self.object(key).is_some()
    }

    /// Requests that nobody has answered yet.
    pub fn len(&self) -> usize {
        self.requests.as_slice().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn object(&self, key: u64) -> Option<&Object<P>> {
        self.objects.as_slice().iter().find(|one| one.key == key)
    }

    fn object_mut(&mut self, key: u64) -> Option<&mut Object<P>> {
        let mut objects = self.objects.as_mut_slice().iter_mut();
        objects.find(|one| one.key == key)
    }

    /// Takes out the objects that `which` says.
    fn forget(&mut self, which: impl Fn(&Object<P>) -> bool) {
        while let Some(index) = self.objects.as_slice().iter().position(&which) {
            self.objects.remove(index);
        }
    }

    /// Takes out the requests that `which` says, and gives their tickets to
    /// `end`.
    fn drain(&mut self, which: impl Fn(&Request<T>) -> bool, mut end: impl FnMut(T)) {
        while let Some(index) = self.requests.as_slice().iter().position(&which) {
            let request = self.requests.remove(index);
            if let Some(ticket) = request.and_then(|request| request.ticket) {
                end(ticket);
            }
        }
    }

    /// Where the request with this sequence number is.
    fn index(&self, sequence: u64) -> Option<usize> {
        let requests = self.requests.as_slice();
        requests
            .binary_search_by_key(&sequence, |request| request.sequence)
            .ok()
    }

    /// Where the request with this wire id is.
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
