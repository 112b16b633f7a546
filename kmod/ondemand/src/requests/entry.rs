// SPDX-License-Identifier: GPL-2.0

//! The entries of the table, and the memory for them.

use super::{Config, Map};
use crate::run::Run;

/// Memory for an entry of a map.
type Node<C, K, V> = <<C as Config>::Map<K, V> as Map<K, V>>::Node;

fn node<C: Config, K: Copy + Ord, V>() -> Option<Node<C, K, V>> {
    <C::Map<K, V> as Map<K, V>>::new_node()
}

/// The kind and the range of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    Read(Run),
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Queued for the daemon to read.
    New,
    /// A thread of the daemon is reading an OPEN and making its descriptor.
    Delivering,
    /// The daemon has read it.
    Delivered,
}

/// A request.
pub(super) struct Request<C: Config> {
    pub(super) object: u64,
    /// The lane of a READ. OPENs and CLOSEs have one in common: those of one blob stay in
    /// their order, whichever mount they are for.
    pub(super) lane: Option<C::Lane>,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    /// Set by the first delivery: only then can the daemon answer.
    pub(super) known: bool,
    pub(super) completion: Option<C::Completion>,
    /// Memory for the entry in the map of what the daemon can read, while it is not
    /// there.
    pub(super) ready: Option<Node<C, (u64, u64), ()>>,
}

impl<C: Config> Request<C> {
    /// The number of its lane; 0 for that of OPENs and CLOSEs.
    pub(super) fn lane_id(&self) -> u64 {
        self.lane.as_ref().map_or(0, |lane| lane.id())
    }

    /// Takes an undelivered READ off the number of its lane. Called before its stage
    /// changes, or it ends.
    pub(super) fn count_out(&self) {
        if let Some(lane) = self.counted_in() {
            lane.remove();
        }
    }

    /// Adds an undelivered READ to the number of its lane. Called after its stage has
    /// changed.
    pub(super) fn count_in(&self) {
        if let Some(lane) = self.counted_in() {
            lane.add();
        }
    }

    fn counted_in(&self) -> Option<&C::Lane> {
        self.lane.as_ref().filter(|_| self.stage == Stage::New)
    }
}

/// A READ, as the map by pages has it.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) run: Run,
    pub(super) sequence: u64,
}

/// An object as the table sees it.
pub(super) struct Object<C: Config> {
    pub(super) payload: C::Object,
    /// The id of the daemon's descriptor; 0 for none.
    pub(super) handle: u32,
    /// The daemon has told the size through the present descriptor.
    pub(super) open: bool,
    /// Only the CLOSE is left to be read.
    pub(super) dropped: bool,
    /// The sequence number of the pending OPEN; of a dropped object, of its CLOSE.
    pub(super) control: Option<u64>,
    /// Memory for an OPEN or a CLOSE, while none is pending: those must not fail.
    pub(super) control_memory: Option<RequestMemory<C>>,
    /// Memory for the descriptor's id, while there is no descriptor.
    pub(super) handle_memory: Option<Node<C, u32, ()>>,
}

/// Memory for a request.
pub(super) struct RequestMemory<C: Config> {
    pub(super) request: Node<C, u64, Request<C>>,
    pub(super) ready: Node<C, (u64, u64), ()>,
}

impl<C: Config> RequestMemory<C> {
    fn new() -> Option<Self> {
        Some(Self {
            request: node::<C, u64, Request<C>>()?,
            ready: node::<C, (u64, u64), ()>()?,
        })
    }

    /// The memory of a request that was removed.
    pub(super) fn of(
        request: Option<Node<C, u64, Request<C>>>,
        ready: Option<Node<C, (u64, u64), ()>>,
    ) -> Option<Self> {
        Some(Self {
            request: request?,
            ready: ready?,
        })
    }
}

/// Memory for a READ.
pub struct ReadMemory<C: Config> {
    pub(super) request: RequestMemory<C>,
    pub(super) read: Node<C, (u64, u64), Read>,
}

impl<C: Config> ReadMemory<C> {
    /// Allocates the memory; `None` if there is none. May sleep.
    pub fn new() -> Option<Self> {
        Some(Self {
            request: RequestMemory::new()?,
            read: node::<C, (u64, u64), Read>()?,
        })
    }
}

/// Memory for an object, with what its OPEN and its CLOSE need.
pub struct ObjectMemory<C: Config> {
    object: Node<C, u64, Object<C>>,
    control: RequestMemory<C>,
    handle: Node<C, u32, ()>,
}

impl<C: Config> ObjectMemory<C> {
    /// Allocates the memory; `None` if there is none. May sleep.
    pub fn new() -> Option<Self> {
        Some(Self {
            object: node::<C, u64, Object<C>>()?,
            control: RequestMemory::new()?,
            handle: node::<C, u32, ()>()?,
        })
    }

    /// The memory of the object, and the object, which no daemon knows.
    pub(super) fn into_object(self, payload: C::Object) -> (Node<C, u64, Object<C>>, Object<C>) {
        let object = Object {
            payload,
            handle: 0,
            open: false,
            dropped: false,
            control: None,
            control_memory: Some(self.control),
            handle_memory: Some(self.handle),
        };
        (self.object, object)
    }
}
