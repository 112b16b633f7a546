// SPDX-License-Identifier: GPL-2.0

//! The size of an object, and the presence of its pages.

use crate::{
    page::{pages_of, PAGE_SHIFT, PAGE_SIZE},
    presence::{pages_written, Presence},
    run::Run,
    sync::{Acquire, AtomicI64, AtomicU64, Release},
};
use core::ops::{Deref, Range};

/// Size and presence of an object, known from the first answer to an OPEN on.
///
/// `W` holds the words of the presence record. Pages become present, and stay so.
pub struct Contents<W> {
    size: u64,
    pages: u64,
    words: W,
    /// Number of pages that are not present.
    missing: AtomicI64,
}

impl<W: Deref<Target = [AtomicU64]>> Contents<W> {
    /// An object of `size` bytes without any pages, recorded in `words`, which are
    /// zero and [`words_for`](crate::presence::words_for) its pages. `None` if no
    /// file can be that large.
    pub fn new(size: u64, words: W) -> Option<Self> {
        let pages = pages_of(size);
        Some(Self {
            size,
            pages,
            words,
            missing: AtomicI64::new(i64::try_from(pages).ok()?),
        })
    }

    /// Size of the object in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Size of the object in pages.
    #[inline]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The end of the last page, in bytes.
    pub fn end(&self) -> u64 {
        self.pages << PAGE_SHIFT
    }

    /// The presence record.
    #[inline]
    pub fn presence(&self) -> Presence<'_> {
        Presence::new(&self.words, self.pages)
    }

    /// Returns whether all pages are present.
    #[inline]
    pub fn is_fully_present(&self) -> bool {
        self.missing.load(Acquire) == 0
    }

    /// Returns whether all pages of `run` are present.
    ///
    /// A read that hits pays for this: one load if the object is whole, two if the
    /// run lies in one word.
    #[inline]
    pub fn has(&self, run: Run) -> bool {
        let whole = self.is_fully_present() && run.end() <= self.pages;
        whole || self.presence().contains(run.first, run.count)
    }

    /// The first byte at or after `offset` that is present, or missing if `present`
    /// is false; `None` if there is none before [`Self::end`].
    pub fn find(&self, offset: u64, present: bool) -> Option<u64> {
        let first = offset >> PAGE_SHIFT;
        let count = self.pages.saturating_sub(first);
        let page = if present {
            self.presence().first_present(first, count)
        } else {
            self.presence().first_missing(first, count)
        };
        Some(offset.max(page? << PAGE_SHIFT))
    }

    /// Number of the bytes `[address, address + len)`, from the start, that lie in
    /// pages of the same state, present or missing.
    pub fn uniform_len(&self, address: u64, len: u64) -> u64 {
        let (run, presence) = (Run::touched_by(address, len), self.presence());
        let next = if presence.contains(run.first, 1) {
            presence.first_missing(run.first, run.count)
        } else {
            presence.first_present(run.first, run.count)
        };
        next.map_or(len, |page| (page << PAGE_SHIFT).saturating_sub(address))
    }

    /// Number of bytes of a write of `len` bytes at the start of a page that may reach
    /// the cache file: whole pages, or all of them if they reach the object's end.
    ///
    /// A file system records a block that is written in part as data, with zeros in its
    /// rest. The page would be present from the next mount on.
    pub fn whole_pages(&self, offset: u64, len: u64) -> u64 {
        if offset.saturating_add(len) >= self.size {
            len
        } else {
            len & !PAGE_SIZE.wrapping_sub(1)
        }
    }

    /// The first missing pages that `len` bytes at `offset` touch, in bytes.
    pub fn missing_bytes(&self, offset: u64, len: u64) -> Option<Range<u64>> {
        let run = Run::touched_by(offset, len).before(self.pages);
        let missing = self.presence().missing_run(run.first, run.count)?;
        Some(missing.first << PAGE_SHIFT..missing.end() << PAGE_SHIFT)
    }

    /// Marks the pages that `len` bytes at `offset` fill as present. The bytes must
    /// be readable from the cache file. Returns the size in bytes of the pages that
    /// were missing.
    pub fn add(&self, offset: u64, len: u64) -> u64 {
        let run = pages_written(offset, len, self.size);
        let added = self.presence().insert(run.first, run.count);
        self.missing.fetch_sub(added as i64, Release);
        added << PAGE_SHIFT
    }
}
