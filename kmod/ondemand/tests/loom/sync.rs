// SPDX-License-Identifier: GPL-2.0

//! loom's atomics in place of core's.

pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// A word of a presence record. Planted flaw: bits are set without Release.
pub(crate) struct AtomicU64 {
    word: loom::sync::atomic::AtomicU64,
    pub(crate) unpublished: bool,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self {
            word: loom::sync::atomic::AtomicU64::new(value),
            unpublished: false,
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    pub(crate) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        let order = if self.unpublished { Relaxed } else { order };
        self.word.fetch_or(bits, order)
    }
}

impl std::fmt::Debug for AtomicU64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.word.fmt(f)
    }
}
