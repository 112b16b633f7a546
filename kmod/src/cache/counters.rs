// SPDX-License-Identifier: GPL-2.0

//! What becomes of reads, counted: those of one mount, and those of all.

use kernel::{
    sync::atomic::{Atomic, Relaxed},
    time::{Instant, Monotonic},
};

/// What happened to reads that did not find their bytes.
pub(super) struct Counters {
    misses: Atomic<u64>,
    requests: Atomic<u64>,
    merged: Atomic<u64>,
    waiting: Atomic<u64>,
    longest: Atomic<u64>,
}

/// What [`Counters`] say at one moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Reads that did not find their bytes present.
    pub(crate) misses: u64,
    /// READ requests that reads caused.
    pub(crate) requests: u64,
    /// Waits for a request that another read has waited for already.
    pub(crate) merged: u64,
    /// Reads that wait now.
    pub(crate) waiting: u64,
    /// Longest wait so far, in microseconds.
    pub(crate) longest_wait_us: u64,
}

impl Counters {
    pub(super) const fn new() -> Self {
        Self {
            misses: Atomic::new(0),
            requests: Atomic::new(0),
            merged: Atomic::new(0),
            waiting: Atomic::new(0),
            longest: Atomic::new(0),
        }
    }

    /// A read did not find its bytes.
    pub(super) fn missed(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    /// A read asked for `requests` runs of pages.
    pub(super) fn asked(&self, requests: u64) {
        self.requests.fetch_add(requests, Relaxed);
    }

    /// A read waits for a request that others wait for.
    pub(super) fn merged(&self) {
        self.merged.fetch_add(1, Relaxed);
    }

    /// A read begins to wait.
    pub(super) fn waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// A read has waited since `since`, and does so no more.
    pub(super) fn waited(&self, since: Instant<Monotonic>) {
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

    /// What was counted so far.
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
