// SPDX-License-Identifier: GPL-2.0

//! Delivery: the order in which the daemon reads requests.

use super::{Config, Kind, Map, Outcome, Stage, Table};
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
    /// The request that the daemon reads next: the oldest deliverable one of the next
    /// lane that has any.
    pub fn peek(&self) -> Option<Pending<C::Object>> {
        let next = self.ready.at_or_after((self.turn, 0));
        let ((_, sequence), ()) = next.or_else(|| self.ready.at_or_after((0, 0)))?;
        let request = self.requests.get(sequence)?;
        let object = self.objects.get(request.object)?;
        Some(Pending {
            sequence,
            key: request.object,
            payload: object.payload.clone(),
            what: match request.kind {
                Kind::Open => What::Open,
                Kind::Close => What::Close(object.handle),
                Kind::Read(pages) => What::Read(object.handle, pages),
            },
        })
    }

    /// Returns whether a read of the device would return a message.
    pub fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Marks a READ or a CLOSE from [`Self::peek`] as delivered. A CLOSE ends by
    /// that, and its object is removed.
    pub fn deliver(&mut self, sequence: u64) {
        let Some(request) = self.set_stage(sequence, Stage::Delivered) else {
            return;
        };
        request.known = true;
        let (key, kind, lane) = (request.object, request.kind, request.lane_id());
        self.turn = lane.wrapping_add(1);
        if kind == Kind::Close {
            self.take(sequence);
            self.forget(key);
        }
    }

    /// Reserves an OPEN from [`Self::peek`] for the calling thread of the daemon,
    /// until [`Self::finish_open`] or [`Self::undeliverable`].
    pub fn begin_open(&mut self, sequence: u64) {
        if let Some(request) = self.set_stage(sequence, Stage::Delivering) {
            self.turn = request.lane_id().wrapping_add(1);
        }
    }

    /// Marks an OPEN as delivered, and returns the id of its new descriptor. `None`
    /// if the OPEN has ended meanwhile; the caller drops the descriptor then.
    pub fn finish_open(&mut self, sequence: u64) -> Option<u32> {
        let request = self.set_stage(sequence, Stage::Delivered)?;
        request.known = true;
        let key = request.object;
        let handle = self.free_handle();
        let object = self.objects.get_mut(key)?;
        if let Some(node) = object.handle_memory.take() {
            self.handles.insert(node, handle, ());
        }
        object.handle = handle;
        self.last_handle = handle;
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
        let Some(taken) = self.take(sequence) else {
            return;
        };
        if let Some(completion) = taken.completion {
            end(completion, Outcome::Failed(errno));
        }
        if taken.kind == Kind::Open {
            self.cancel_reads(taken.key, Outcome::Failed(Errno::EIO), end);
        }
    }

    /// The next object id, from 1 to `i32::MAX`, that no descriptor has.
    fn free_handle(&self) -> u32 {
        let mut handle = self.last_handle;
        loop {
            handle = if handle >= i32::MAX as u32 {
                1
            } else {
                handle.wrapping_add(1)
            };
            // Ends: there are fewer objects than ids.
            if self.handles.get(handle).is_none() {
                return handle;
            }
        }
    }
}
