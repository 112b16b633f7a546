// SPDX-License-Identifier: GPL-2.0

//! Counters of misses, requests and waits, of one mount and of all mounts.

use kernel::{
    sync::atomic::{Atomic, Relaxed},
    time::{Instant, Monotonic},
};

/// Counters of reads that did not find their pages present.
pub(super) struct Counters {
    misses: Atomic<u64>,
    requests: Atomic<u64>,
    merged: Atomic<u64>,
    waiting: Atomic<u64>,
    longest: Atomic<u64>,
}

/// A snapshot of [`Counters`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Reads that did not find their pages present.
    pub(crate) misses: u64,
    /// Submitted READs.
    pub(crate) requests: u64,
    /// Waits for a request that had another waiter before.
    pub(crate) merged: u64,
    /// Reads that are waiting.
    pub(crate) waiting: u64,
    /// The longest wait so far, in microseconds.
    pub(crate) longest_wait_us: u64,
}

impl Counters {
    /// All counters at 0.
    pub(super) const fn new() -> Self {
        Self {
            misses: Atomic::new(0),
            requests: Atomic::new(0),
            merged: Atomic::new(0),
            waiting: Atomic::new(0),
            longest: Atomic::new(0),
        }
    }

    /// Counts a read that did not find its pages present.
    pub(super) fn count_miss(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    /// Counts submitted READs.
    pub(super) fn count_requests(&self, requests: u64) {
        self.requests.fetch_add(requests, Relaxed);
    }

    /// Counts a wait for a request that had another waiter before.
    pub(super) fn count_merged(&self) {
        self.merged.fetch_add(1, Relaxed);
    }

    /// Counts a read that starts to wait.
    pub(super) fn begin_wait(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// Counts the end of a wait that started at `since`.
    pub(super) fn end_wait(&self, since: Instant<Monotonic>) {
        self.waiting.fetch_add(u64::MAX, Relaxed);
        let waited = since.elapsed().as_micros_ceil().cast_unsigned();
        let mut longest = self.longest.load(Relaxed);
        while longest < waited {
            match self.longest.cmpxchg(longest, waited, Relaxed) {
                Ok(_) => break,
                Err(now) => longest = now,
            }
        }
    }

    /// The present values.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            misses: self.misses.load(Relaxed),
            requests: self.requests.load(Relaxed),
            merged: self.merged.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            longest_wait_us: self.longest.load(Relaxed),
        }
    }
}
