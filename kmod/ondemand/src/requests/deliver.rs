// SPDX-License-Identifier: GPL-2.0

//! Telling the daemon: which request is read next, and what becomes of it.

use super::{Kind, Object, Outcome, Request, Stage, Store, Table};
use crate::presence::Run;
use crate::Errno;

/// The next request that the daemon can read.
#[derive(Clone, Debug)]
pub struct Pending<P> {
    /// The request's sequence number.
    pub sequence: u64,
    /// The object's key.
    pub key: u64,
    /// What the caller keeps of the object.
    pub payload: P,
    /// What is asked for.
    pub what: What,
}

impl<P> Pending<P> {
    /// The request's id, as the daemon sees it.
    pub const fn id(&self) -> u32 {
        self.sequence as u32
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A descriptor is to be made, and comes with it.
    Open,
    /// Of the descriptor with this id.
    Close(u32),
    /// Run, to be written through the descriptor with this id.
    Read(u32, Run),
}

impl<T, P, R, O> Table<T, P, R, O>
where
    T: Clone,
    P: Clone,
    R: Store<Request<T>>,
    O: Store<Object<P>>,
{
    /// The request that the daemon reads next. Requests take turns: from the
    /// one after the last on, and then from the first one.
    pub fn peek(&self) -> Option<Pending<P>> {
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

    /// Whether the daemon would get a message.
    pub fn is_readable(&self) -> bool {
        self.peek().is_some()
    }

    /// The daemon gets a READ or a CLOSE that [`Self::peek`] gave. A CLOSE ends
    /// by that, and its object with it.
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

    /// A thread of the daemon begins to get an OPEN that [`Self::peek`] gave: no
    /// other thread does.
    pub fn begin_open(&mut self, sequence: u64) {
        self.cursor = sequence.wrapping_add(1);
        if let Some(index) = self.index(sequence) {
            if let Some(request) = self.requests.as_mut_slice().get_mut(index) {
                request.stage = Stage::Delivering;
            }
        }
    }

    /// The descriptor of an OPEN is made: its id. `None` if nobody waits for
    /// the OPEN any more; the descriptor is to be thrown away then.
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

    /// A request could not be delivered: it ends, and `end` gets its ticket.
    ///
    /// READs that need an OPEN which fails so have no chance. What the daemon
    /// lacks (descriptors, a good buffer) is not for their readers to know: EIO.
    pub fn undeliverable(&mut self, sequence: u64, errno: Errno, mut end: impl FnMut(T, Outcome)) {
        let Some(request) = self.index(sequence).and_then(|at| self.requests.remove(at)) else {
            return;
        };
        if let Some(ticket) = request.ticket {
            end(ticket, Outcome::Failed(errno));
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

/// What the daemon would be told of `request` now.
fn deliverable<T, P>(request: &Request<T>, object: &Object<P>) -> Option<What> {
    if request.stage != Stage::New {
        return None;
    }
    match request.kind {
        Kind::Open => Some(What::Open),
        Kind::Close => Some(What::Close(object.handle)),
        // Without a descriptor the daemon could do nothing with it: the OPEN
        // that makes one comes first.
        Kind::Read(pages) => object.open.then_some(What::Read(object.handle, pages)),
    }
}
