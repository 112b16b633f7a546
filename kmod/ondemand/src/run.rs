// SPDX-License-Identifier: GPL-2.0

//! A run: consecutive pages of a blob.

use crate::page::{pages_of, PAGE_SHIFT};

/// Consecutive pages of a blob, in units of [`crate::page::PAGE_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first page.
    pub first: u64,
    /// The number of pages.
    pub count: u64,
}

impl Run {
    /// No pages. As the run of a request it stands for an OPEN.
    pub const EMPTY: Run = Run { first: 0, count: 0 };

    /// The pages that the bytes `[address, address + len)` touch.
    #[inline]
    pub const fn touched_by(address: u64, len: u64) -> Self {
        let first = address >> PAGE_SHIFT;
        Self {
            first,
            count: pages_of(address.saturating_add(len)).saturating_sub(first),
        }
    }

    /// The page after the last one.
    #[inline]
    pub const fn end(self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// Returns whether `page` is in the run.
    #[inline]
    pub const fn contains(self, page: u64) -> bool {
        page >= self.first && page < self.end()
    }

    /// The part of the run that lies before page `end`.
    pub const fn before(self, end: u64) -> Self {
        let room = end.saturating_sub(self.first);
        Self {
            first: self.first,
            count: if self.count < room { self.count } else { room },
        }
    }

    /// The part of the run from page `first` on.
    pub const fn after(self, first: u64) -> Self {
        let first = if self.first > first {
            self.first
        } else {
            first
        };
        Self {
            first,
            count: self.end().saturating_sub(first),
        }
    }

    /// The union with `other`; `None` if there is a gap between the two.
    pub fn joined(self, other: Self) -> Option<Self> {
        if self.count == 0 {
            return Some(other);
        }
        if other.first > self.end() || self.first > other.end() {
            return None;
        }
        let first = self.first.min(other.first);
        Some(Self {
            first,
            count: self.end().max(other.end()).saturating_sub(first),
        })
    }
}
