// SPDX-License-Identifier: GPL-2.0

//! How large an object is, and which of its pages are present.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use kernel::{alloc::flags::__GFP_NOWARN, prelude::*};
use ondine_ondemand::{
    presence::{pages_of, pages_written, words_for, PAGE_SHIFT},
    Presence, Run,
};

/// What is known of an object once the daemon has said how large it is.
///
/// Pages become present, and never go again.
pub(crate) struct Contents {
    size: u64,
    pages: u64,
    words: KVVec<AtomicU64>,
    /// Pages that are not present. As the words, of core's atomics: each read
    /// looks here, and the kernel's are calls.
    missing: AtomicI64,
}

impl Contents {
    /// Of `size` bytes, none of them present.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new(size: u64) -> Result<Self> {
        let pages = pages_of(size);
        let count = words_for(pages);
        // The daemon says how many: no news for the log if that is too many.
        let mut words = KVVec::with_capacity(count, GFP_KERNEL | __GFP_NOWARN)?;
        for _ in 0..count {
            words.push(AtomicU64::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            size,
            pages,
            words,
            missing: AtomicI64::new(i64::try_from(pages).map_err(|_| EFBIG)?),
        })
    }

    /// Bytes of the object.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Pages of the object.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// The record of its pages.
    pub(super) fn presence(&self) -> Presence<'_> {
        Presence::new(&self.words, self.pages)
    }

    /// Whether all pages are present.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Whether all pages of `run` are present.
    #[inline]
    pub(super) fn has(&self, run: Run) -> bool {
        let whole = self.is_whole() && run.end() <= self.pages;
        whole || self.presence().contains(run.first, run.count)
    }

    /// The first byte at or after `offset` that is present, or that is missing;
    /// `None` if there is none up to [`Self::end`].
    pub(super) fn find(&self, offset: u64, present: bool) -> Option<u64> {
        let first = offset >> PAGE_SHIFT;
        let count = self.pages.saturating_sub(first);
        let page = if present {
            self.presence().first_present(first, count)
        } else {
            self.presence().first_missing(first, count)
        };
        Some(offset.max(page? << PAGE_SHIFT))
    }

    /// Where the last page ends.
    pub(super) fn end(&self) -> u64 {
        self.pages << PAGE_SHIFT
    }

    /// Bytes of the cache file have become readable: which were written just
    /// now, or found there. Returns how many bytes of pages that adds.
    pub(super) fn add(&self, offset: u64, len: u64) -> u64 {
        let run = pages_written(offset, len, self.size);
        let added = self.presence().insert(run.first, run.count);
        self.missing.fetch_sub(added as i64, Ordering::Release);
        added << PAGE_SHIFT
    }
}

/// The pages that `[address, address + len)` touches.
pub(super) fn pages_touched(address: u64, len: u64) -> Run {
    let first = address >> PAGE_SHIFT;
    Run {
        first,
        count: pages_of(address.saturating_add(len)).saturating_sub(first),
    }
}
