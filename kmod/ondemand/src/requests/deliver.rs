// SPDX-License-Identifier: GPL-2.0

//! Delivery: the order in which the daemon reads requests.

use super::{Config, Kind, Object, Outcome, Request, Stage, Store, Table};
use crate::run::Run;
use crate::Errno;

/// The next request that the daemon can read.
#[derive(Clone, Debug)]
pub struct Pending<P> {
    /// The request's sequence number.
    pub sequence: u64,
    /// The object's key.
    pub key: u64,
    /// The caller's reference to the object.
    pub payload: P,
    /// The message's kind.
    pub what: What,
}

impl<P> Pending<P> {
    /// The request's id on the wire.
    pub const fn id(&self) -> u32 {
        self.sequence as u32
    }
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Open the object; the message carries a new descriptor.
    Open,
    /// The object of the descriptor with this id is no longer used.
    Close(u32),
    /// Write these pages through the descriptor with this id.
    Read(u32, Run),
}

impl<C: Config> Table<C> {
    /// The request that the daemon reads next: the first deliverable one after the
    /// one delivered last, then from the start.
    pub fn peek(&self) -> Option<Pending<C::Object>> {
        let requests = self.requests.as_slice();
        let start = requests.partition_point(|request| request.sequence < self.cursor);
        let (before, after) = requests.split_at_checked(start)?;
        after.iter().chain(before).find_map(|request| {
            let object = self.object(request.object)?;
            Some(Pending {
                sequence: request.sequence,
                key: object.key,
                payload: object.payload.clone(),
                what: deliverable(request, object)?,
            })
        })
    }

    /// Returns whether a read of the device would return a message.
    pub fn is_readable(&self) -> bool {
        self.peek().is_some()
    }

    /// Marks a READ or a CLOSE from [`Self::peek`] as delivered. A CLOSE ends by
    /// that, and its object is removed.
    pub fn deliver(&mut self, sequence: u64) {
        let Some(index) = self.index(sequence) else {
            return;
        };
        self.cursor = sequence.wrapping_add(1);
        let Some(request) = self.requests.as_mut_slice().get_mut(index) else {
            return;
        };
        request.stage = Stage::Delivered;
        request.known = true;
        if request.kind == Kind::Close {
            let key = request.object;
            self.requests.remove(index);
            self.forget(|object| object.key == key);
        }
    }

    /// Reserves an OPEN from [`Self::peek`] for the calling thread of the daemon,
    /// until [`Self::finish_open`] or [`Self::undeliverable`].
    pub fn begin_open(&mut self, sequence: u64) {
        self.cursor = sequence.wrapping_add(1);
        if let Some(index) = self.index(sequence) {
            if let Some(request) = self.requests.as_mut_slice().get_mut(index) {
                request.stage = Stage::Delivering;
            }
        }
    }

    /// Marks an OPEN as delivered, and returns the id of its new descriptor. `None`
    /// if the OPEN has ended meanwhile; the caller drops the descriptor then.
    pub fn finish_open(&mut self, sequence: u64) -> Option<u32> {
        let index = self.index(sequence)?;
        let handle = self.free_handle();
        let request = self.requests.as_mut_slice().get_mut(index)?;
        request.stage = Stage::Delivered;
        request.known = true;
        let key = request.object;
        self.object_mut(key)?.handle = handle;
        self.handles = handle;
        Some(handle)
    }

    /// Ends a request that could not be delivered; `end` gets its completion.
    ///
    /// If it is an OPEN, the READs that depend on it end as well, with EIO: the
    /// reason (no descriptor, a bad buffer) is the daemon's and not the blob's.
    pub fn undeliverable(
        &mut self,
        sequence: u64,
        errno: Errno,
        mut end: impl FnMut(C::Completion, Outcome),
    ) {
        let Some(request) = self.index(sequence).and_then(|at| self.requests.remove(at)) else {
            return;
        };
        if let Some(completion) = request.completion {
            end(completion, Outcome::Failed(errno));
        }
        if request.kind == Kind::Open {
            self.cancel_reads(request.object, Outcome::Failed(Errno::EIO), end);
        }
    }

    /// The next object id, from 1 to `i32::MAX`, that no descriptor has.
    fn free_handle(&self) -> u32 {
        let mut handle = self.handles;
        loop {
            handle = if handle >= i32::MAX as u32 {
                1
            } else {
                handle.wrapping_add(1)
            };
            // Ends: there are fewer objects than ids.
            if !self
                .objects
                .as_slice()
                .iter()
                .any(|one| one.handle == handle)
            {
                return handle;
            }
        }
    }
}

/// The message of `request`, if it can be delivered now.
fn deliverable<T, P>(request: &Request<T>, object: &Object<P>) -> Option<What> {
    if request.stage != Stage::New {
        return None;
    }
    match request.kind {
        Kind::Open => Some(What::Open),
        Kind::Close => Some(What::Close(object.handle)),
        // The daemon answers through the descriptor: an OPEN comes first.
        Kind::Read(pages) => object.open.then_some(What::Read(object.handle, pages)),
    }
}
