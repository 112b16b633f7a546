// SPDX-License-Identifier: GPL-2.0

//! The request table: the requests that the daemon has to answer, and the objects
//! that they are about.
//!
//! Events in, actions out. The table takes no lock, reads no clock and allocates
//! nothing: the caller serialises the calls (one lock around the table), provides
//! memory ([`Map`], [`ObjectMemory`], [`ReadMemory`]) and executes the answers. A call
//! that removes a request hands out its completion, once; the caller then ends the
//! request with it.
//!
//! A call about one request takes logarithmic time. Calls about all requests of an
//! object or of the session look at each of them once.
//!
//! A wire id is the low half of a sequence number that a session uses once, so
//! that a late reply finds nothing instead of another request.
//!
//! Source: docs/spec/cachefiles-ondemand.md sections 3 to 6.

mod answer;
mod census;
mod deliver;
mod entry;
mod lane;
mod map;
mod submit;

pub use self::{
    answer::{Answer, Opened},
    census::Census,
    deliver::{Pending, What},
    entry::{ObjectMemory, ReadMemory},
    lane::Lane,
    map::Map,
    submit::Refusal,
};

use self::entry::{Kind, Object, Read, Request, RequestMemory, Stage};
use core::ops::Deref;

/// The types that a table is made of.
pub trait Config: Sized {
    /// The handle by which a request is completed; cheap to clone.
    type Completion: Clone;
    /// The caller's reference to an object; cheap to clone.
    type Object: Clone;
    /// A reference to the lane of a mount.
    type Lane: Clone + Deref<Target = Lane>;
    /// The memory of the table.
    type Map<K: Copy + Ord, V>: Map<K, V>;
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

/// The table.
pub struct Table<C: Config> {
    /// By sequence number.
    requests: C::Map<u64, Request<C>>,
    /// The requests that the daemon can read now, by lane and sequence number.
    ready: C::Map<(u64, u64), ()>,
    /// The READs by object and by the page after their last one. Those of an object do
    /// not overlap, so that their first pages are in the same order.
    reads: C::Map<(u64, u64), Read>,
    /// By key.
    objects: C::Map<u64, Object<C>>,
    /// The descriptor ids in use.
    handles: C::Map<u32, ()>,
    /// The next sequence number.
    next: u64,
    /// The lane from which delivery goes on.
    turn: u64,
    /// The descriptor id that was given out last.
    last_handle: u32,
    dead: bool,
}

impl<C: Config> Default for Table<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Config> Table<C> {
    /// An empty table, without a session.
    pub fn new() -> Self {
        Self {
            requests: Default::default(),
            ready: Default::default(),
            reads: Default::default(),
            objects: Default::default(),
            handles: Default::default(),
            next: 0,
            turn: 0,
            last_handle: 0,
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
        self.turn = 0;
        self.last_handle = 0;
        let mut from = 0;
        while let Some((key, _)) = self.objects.at_or_after(from) {
            self.clear_handle(key);
            from = key.saturating_add(1);
        }
    }

    /// Ends the session: hands all completions to `end`, and refuses further
    /// requests.
    pub fn die(&mut self, mut end: impl FnMut(C::Completion, Outcome)) {
        self.dead = true;
        while let Some((sequence, _)) = self.requests.at_or_after(0) {
            if let Some(completion) = self.take(sequence).and_then(|taken| taken.completion) {
                end(completion, Outcome::Dead);
            }
        }
        let mut from = 0;
        while let Some((key, object)) = self.objects.at_or_after(from) {
            if object.dropped {
                self.forget(key);
            }
            from = key.saturating_add(1);
        }
    }

    /// Returns whether there is no session.
    #[inline]
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Adds an object that no daemon knows yet, and that is not in the table.
    pub fn add_object(&mut self, key: u64, payload: C::Object, memory: ObjectMemory<C>) {
        let (node, object) = memory.into_object(payload);
        self.objects.insert(node, key, object);
    }

    /// Drops an object that is no longer used: its requests end, and a CLOSE is
    /// queued if the daemon has a descriptor. Returns whether the device has
    /// become readable.
    pub fn drop_object(&mut self, key: u64, mut end: impl FnMut(C::Completion, Outcome)) -> bool {
        let Some(object) = self.objects.get_mut(key) else {
            return false;
        };
        object.dropped = true;
        let (open, control) = (object.open, object.control);
        let opening = control.and_then(|sequence| self.take(sequence)?.completion);
        if let Some(completion) = opening {
            end(completion, Outcome::Dropped);
        }
        self.cancel_reads(key, Outcome::Dropped, end);
        if self.dead || !open {
            self.forget(key);
            return false;
        }
        self.submit_control(key, Kind::Close, None).is_ok()
    }

    /// The last reference of the descriptor `handle` of an object is gone.
    /// Returns whether the device has become readable.
    ///
    /// The OPEN that the descriptor came with, if it is unanswered, and unanswered
    /// READs that were delivered through it become new again: the daemon that had
    /// them may be gone. The READs are delivered through the descriptor of the next
    /// OPEN.
    pub fn handle_closed(&mut self, key: u64, handle: u32) -> bool {
        let Some(object) = self
            .objects
            .get(key)
            .filter(|one| handle != 0 && one.handle == handle)
        else {
            return false;
        };
        let (dropped, control) = (object.dropped, object.control);
        self.clear_handle(key);
        if dropped {
            if let Some(sequence) = control {
                self.take(sequence);
            }
            self.cancel_reads(key, Outcome::Dropped, |_, _| {});
            self.forget(key);
            return false;
        }
        let mut from = 0;
        while let Some(read) = self.next_read(key, from) {
            self.renew(read.sequence);
            from = read.run.end();
        }
        // The OPEN is not being delivered: the object had a descriptor until now.
        let opens = control.is_some_and(|sequence| self.renew(sequence));
        opens || self.open_again(key)
    }

    /// Makes all delivered requests new again, except for OPENs whose descriptor
    /// is still open: an object has one descriptor at most.
    pub fn restore(&mut self) {
        let mut from = 0;
        while let Some((sequence, request)) = self.requests.at_or_after(from) {
            from = sequence.saturating_add(1);
            let object = self.objects.get(request.object);
            let live = object.is_some_and(|object| object.handle != 0);
            let lost = request.kind != Kind::Open || !live;
            if request.stage == Stage::Delivered && lost {
                self.renew(sequence);
            }
        }
    }

    /// Returns whether the object is in the table.
    pub fn knows(&self, key: u64) -> bool {
        self.objects.get(key).is_some()
    }

    /// Number of unanswered requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Removes an object, which has no requests.
    fn forget(&mut self, key: u64) {
        self.clear_handle(key);
        self.objects.remove(key);
    }

    /// The daemon has no descriptor of the object any more.
    fn clear_handle(&mut self, key: u64) {
        let Some(object) = self.objects.get_mut(key) else {
            return;
        };
        object.open = false;
        let node = self.handles.reclaim(object.handle);
        object.handle_memory = object.handle_memory.take().or(node);
        object.handle = 0;
    }

    /// Removes a request. The memory of an OPEN or a CLOSE stays with its object, for
    /// the next one.
    fn take(&mut self, sequence: u64) -> Option<Taken<C>> {
        let request = self.requests.get_mut(sequence)?;
        let (key, kind, waiting) = (request.object, request.kind, request.ready.take());
        let completion = request.completion.take();
        let entry = (request.lane_id(), sequence);
        request.count_out();
        let ready = self.ready.reclaim(entry).or(waiting);
        let node = self.requests.reclaim(sequence);
        if let Kind::Read(pages) = kind {
            self.reads.remove((key, pages.end()));
        } else if let Some(object) = self.objects.get_mut(key) {
            object.control = None;
            object.control_memory = RequestMemory::of(node, ready);
        }
        Some(Taken {
            key,
            kind,
            completion,
        })
    }

    /// Lets the daemon read a request that is new.
    fn make_ready(&mut self, sequence: u64) {
        let Some(request) = self.requests.get_mut(sequence) else {
            return;
        };
        if let Some(node) = request.ready.take() {
            self.ready.insert(node, (request.lane_id(), sequence), ());
        }
    }

    /// Keeps the daemon from reading a request, and sets its stage.
    fn set_stage(&mut self, sequence: u64, stage: Stage) -> Option<&mut Request<C>> {
        let request = self.requests.get_mut(sequence)?;
        let node = self.ready.reclaim((request.lane_id(), sequence));
        request.ready = request.ready.take().or(node);
        request.count_out();
        request.stage = stage;
        request.count_in();
        Some(request)
    }

    /// Makes a request new, and lets the daemon read it if it can be delivered. Returns
    /// whether the daemon could not read it before, and can now.
    fn renew(&mut self, sequence: u64) -> bool {
        let Some(request) = self.requests.get(sequence) else {
            return false;
        };
        let (key, kind) = (request.object, request.kind);
        let was_ready = self.ready.get((request.lane_id(), sequence)).is_some();
        self.set_stage(sequence, Stage::New);
        let open = self.objects.get(key).is_some_and(|object| object.open);
        // The daemon answers a READ through the descriptor: an OPEN comes first.
        if matches!(kind, Kind::Read(_)) && !open {
            return false;
        }
        self.make_ready(sequence);
        !was_ready
    }

    /// The sequence number of the request with this wire id, which may have ended.
    fn sequence_of_id(&self, id: u32) -> Option<u64> {
        // The latest sequence number that has these low bits: `submit` keeps an
        // older one from being in the table.
        let behind = (self.next as u32).wrapping_sub(id);
        let behind = if behind == 0 {
            1 << 32
        } else {
            u64::from(behind)
        };
        self.next.checked_sub(behind)
    }
}

/// A request that was removed from the table.
struct Taken<C: Config> {
    key: u64,
    kind: Kind,
    completion: Option<C::Completion>,
}
