// SPDX-License-Identifier: GPL-2.0

//! Which pages of a blob are in its cache file.
//!
//! The record is one bit for each page, in memory: seeded once from the
//! extents of the cache file (section 7), kept by the daemon's writes, asked on
//! every read. Pages are only ever added, by any number of writers at once.
//!
//! # Memory order
//!
//! A bit says that the bytes of its page can be read from the cache file. It is
//! set with Release after they were written and tested with Acquire before they
//! are read, so whoever sees the bit sees the bytes. The words are the only
//! memory that is shared through this module, and only through it. So no
//! location is accessed both by Rust's atomics and by the kernel's, and the one
//! guarantee that is asked of Rust's model, message passing by release and
//! acquire, is one that the kernel's model gives too, by the same instructions.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page in the record: the unit that cache files are filled in,
/// whatever the machine's own page size.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Pages that one word records.
const WORD_PAGES: u64 = 64;

/// Consecutive pages of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first page.
    pub first: u64,
    /// The number of pages.
    pub count: u64,
}

/// Pages of a blob of `size` bytes; the last may be part of one.
#[inline]
pub const fn pages_of(size: u64) -> u64 {
    size.div_ceil(PAGE_SIZE)
}

/// Words that record `pages` pages.
#[inline]
pub fn words_for(pages: u64) -> usize {
    // What no address space holds is for the allocation to refuse.
    usize::try_from(pages.div_ceil(WORD_PAGES)).unwrap_or(usize::MAX)
}

/// The pages that `len` bytes at `offset` make whole, in a blob of `size` bytes.
///
/// A page counts if all of its bytes that the blob has are among them: the first
/// is rounded up, the last down, but for the blob's last page, which is whole
/// when the bytes reach `size`. The same holds for an extent of data found in a
/// cache file. The count may be 0.
pub const fn pages_written(offset: u64, len: u64, size: u64) -> Run {
    let end = offset.saturating_add(len);
    let first = pages_of(offset);
    let last = if end >= size {
        pages_of(size)
    } else {
        end >> PAGE_SHIFT
    };
    Run {
        first,
        count: last.saturating_sub(first),
    }
}

/// The record of a blob's pages, in words that the caller owns.
///
/// A range is a first page and a count of pages. What lies past the blob's last
/// page is never present, and inserting it does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Presence<'a> {
    words: &'a [AtomicU64],
    /// Within `words`.
    pages: u64,
}

impl<'a> Presence<'a> {
    /// The record of a blob of `pages` pages in `words`, which hold zeros at
    /// first and [`words_for`] that many pages; with fewer words, what they do
    /// not hold is never present.
    #[inline]
    pub fn new(words: &'a [AtomicU64], pages: u64) -> Self {
        let room = (words.len() as u64).saturating_mul(WORD_PAGES);
        Presence {
            words,
            pages: pages.min(room),
        }
    }

    /// Whether every page of the range is present. An empty range is.
    ///
    /// This is what a read that hits pays: within one word it is one load.
    #[inline]
    pub fn contains(&self, first: u64, count: u64) -> bool {
        let bit = first & (WORD_PAGES - 1);
        if count.wrapping_sub(1) < WORD_PAGES.wrapping_sub(bit) {
            let wanted = run_of_ones(count) << bit;
            // No bit past the last page is ever set.
            self.word(first) & wanted == wanted
        } else {
            self.first_missing(first, count).is_none()
        }
    }

    /// The first page of the range that is missing.
    pub fn first_missing(&self, first: u64, count: u64) -> Option<u64> {
        let end = first.saturating_add(count);
        match self.find(first, end.min(self.pages), false) {
            None if count != 0 && end > self.pages => Some(first.max(self.pages)),
            found => found,
        }
    }

    /// The first page of the range that is present.
    pub fn first_present(&self, first: u64, count: u64) -> Option<u64> {
        let end = first.saturating_add(count);
        self.find(first, end.min(self.pages), true)
    }

    /// The first missing pages of the range, up to the next page that is
    /// present or the end of the range.
    pub fn missing_run(&self, first: u64, count: u64) -> Option<Run> {
        let end = first.saturating_add(count);
        let start = self.first_missing(first, count)?;
        let count = match self.find(start, end.min(self.pages), true) {
            Some(next) => next.wrapping_sub(start),
            None => count.wrapping_sub(start.wrapping_sub(first)),
        };
        Some(Run {
            first: start,
            count,
        })
    }

    /// Makes the pages of the range present, and gives how many were missing.
    ///
    /// Of several writers that insert one page, one alone counts it. The bytes
    /// of the pages must be in the cache file before this is called.
    pub fn insert(&self, first: u64, count: u64) -> u64 {
        let end = first.saturating_add(count).min(self.pages);
        let mut added = 0u64;
        let mut at = first;
        while at < end {
            let next = next_word(at);
            let bits = run_of_ones(next.min(end).wrapping_sub(at)) << (at & (WORD_PAGES - 1));
            if let Some(word) = self.words.get(index(at)) {
                let before = word.fetch_or(bits, Release);
                added = added.wrapping_add(u64::from((bits & !before).count_ones()));
            }
            at = next;
        }
        added
    }

    /// Pages that are present. While writers run, a number that was true at
    /// some time for each part of the blob.
    pub fn count(&self) -> u64 {
        let ones = |word: &AtomicU64| u64::from(word.load(Relaxed).count_ones());
        self.words.iter().map(ones).fold(0, u64::wrapping_add)
    }

    /// The first page of `first..end` that is present or that is missing.
    fn find(&self, first: u64, end: u64, present: bool) -> Option<u64> {
        let flip = if present { 0 } else { u64::MAX };
        let mut at = first;
        while at < end {
            let left = (self.word(at) ^ flip) >> (at & (WORD_PAGES - 1));
            if left != 0 {
                let found = at.saturating_add(u64::from(left.trailing_zeros()));
                return (found < end).then_some(found);
            }
            at = next_word(at);
        }
        None
    }

    /// The word that records `page`.
    #[inline]
    fn word(&self, page: u64) -> u64 {
        self.words
            .get(index(page))
            .map_or(0, |word| word.load(Acquire))
    }
}

/// Where the word of `page` is.
#[inline]
fn index(page: u64) -> usize {
    usize::try_from(page / WORD_PAGES).unwrap_or(usize::MAX)
}

/// The first page of the word after the one of `page`.
#[inline]
const fn next_word(page: u64) -> u64 {
    (page | (WORD_PAGES - 1)).saturating_add(1)
}

/// `count` low bits set, 1 to 64.
#[inline]
const fn run_of_ones(count: u64) -> u64 {
    u64::MAX >> (WORD_PAGES.wrapping_sub(count) & (WORD_PAGES - 1))
}
