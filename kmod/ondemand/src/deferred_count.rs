// SPDX-License-Identifier: GPL-2.0

//! The number of deferred reads of an object, and of the pages of those of a mount.

use crate::sync::{AtomicUsize, Relaxed};

/// Number of deferred reads of an object, including one that the worker is stepping and
/// that is in no list: as long as there are any, the timer must go on. A read is counted
/// before the timer is started for it.
pub struct DeferredCount(AtomicUsize);

impl DeferredCount {
    /// No deferred reads.
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Returns whether there are deferred reads.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Default for DeferredCount {
    fn default() -> Self {
        Self::new()
    }
}

/// Number of pages in the deferred reads of a mount.
///
/// Their folios are locked: memory pressure cannot reclaim them, and belong to no task
/// that the OOM killer could end. So there is a limit.
pub struct DeferredPages(AtomicUsize);

impl DeferredPages {
    /// The most pages: 32 MiB.
    pub const MAX: usize = (32 << 20) >> crate::page::PAGE_SHIFT;

    /// No pages.
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Adds pages; returns false, and adds none, if they would be too many.
    pub(crate) fn try_add(&self, pages: u64) -> bool {
        let pages = pages as usize;
        let before = self.0.fetch_add(pages, Relaxed);
        let fits = before.saturating_add(pages) <= Self::MAX;
        if !fits {
            self.0.fetch_sub(pages, Relaxed);
        }
        fits
    }

    pub(crate) fn remove(&self, pages: u64) {
        self.0.fetch_sub(pages as usize, Relaxed);
    }
}

impl Default for DeferredPages {
    fn default() -> Self {
        Self::new()
    }
}
