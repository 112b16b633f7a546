// SPDX-License-Identifier: GPL-2.0

//! The presence record: the pages of a blob that are in its cache file.
//!
//! One bit for each page, in memory: seeded once from the extents of the cache file
//! (docs/spec/cachefiles-ondemand.md section 7), updated by the daemon's writes,
//! tested by every read. Pages are only ever added, by any number of writers at once.
//!
//! # Memory order
//!
//! A set bit says that the bytes of its page can be read from the cache file. It
//! is set with Release after the bytes were written, and tested with Acquire
//! before they are read, so a reader that sees the bit sees the bytes. See
//! [`crate::sync`] for why core's atomics will do.

use crate::page::{pages_of, PAGE_SHIFT};
use crate::run::Run;
use crate::sync::{Acquire, AtomicU64, Relaxed, Release};

/// Pages that one word records.
const WORD_PAGES: u64 = 64;

/// Number of words that record `pages` pages.
#[inline]
pub fn words_for(pages: u64) -> usize {
    // The allocation fails for more words than an address space can hold.
    usize::try_from(pages.div_ceil(WORD_PAGES)).unwrap_or(usize::MAX)
}

/// The pages that `len` bytes at `offset` fill, in a blob of `size` bytes. The count
/// may be 0.
///
/// A page is filled if all of its bytes below `size` are written: the start is rounded
/// up, and the end is rounded down unless it reaches `size`. The same holds for an
/// extent of data in a cache file.
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
/// A range is a first page and a count of pages. Pages past the end of the blob are
/// never present, and inserting them has no effect.
#[derive(Clone, Copy, Debug)]
pub struct Presence<'a> {
    words: &'a [AtomicU64],
    /// Within `words`.
    pages: u64,
}

impl<'a> Presence<'a> {
    /// The record of a blob of `pages` pages in [`words_for`] words, which are zero at
    /// first. Pages for which there is no word are never present.
    #[inline]
    pub fn new(words: &'a [AtomicU64], pages: u64) -> Self {
        let room = (words.len() as u64).saturating_mul(WORD_PAGES);
        Presence {
            words,
            pages: pages.min(room),
        }
    }

    /// Returns whether all pages of the range are present; true for an empty range.
    ///
    /// Every read that hits pays for this: one load if the range lies in one word.
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

    /// Marks the pages of the range as present, and returns the number of pages that
    /// were missing. Of several writers that insert the same page, one counts it.
    ///
    /// The bytes of the pages must be readable from the cache file.
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

    /// Number of present pages. With concurrent writers it is exact for each word at
    /// some time, not for all words at one time.
    pub fn count(&self) -> u64 {
        let ones = |word: &AtomicU64| u64::from(word.load(Relaxed).count_ones());
        self.words.iter().map(ones).fold(0, u64::wrapping_add)
    }

    /// The first page of `first..end` that is present, or missing if `present` is
    /// false.
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

/// Index of the word that records `page`.
#[inline]
fn index(page: u64) -> usize {
    usize::try_from(page / WORD_PAGES).unwrap_or(usize::MAX)
}

/// The first page of the next word after the one of `page`.
#[inline]
const fn next_word(page: u64) -> u64 {
    (page | (WORD_PAGES - 1)).saturating_add(1)
}

/// `count` low bits set, 1 to 64.
#[inline]
const fn run_of_ones(count: u64) -> u64 {
    u64::MAX >> (WORD_PAGES.wrapping_sub(count) & (WORD_PAGES - 1))
}
