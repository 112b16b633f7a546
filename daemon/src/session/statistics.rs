// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a session did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Kind;

/// The numbers of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// OPEN messages.
    pub opens: u64,
    /// CLOSE messages.
    pub closes: u64,
    /// READ messages.
    pub reads: u64,
    /// OPENs that were answered with an error.
    pub refused_opens: u64,
    /// READs that were completed without all of their bytes, which could not be had or written; not
    /// those that a rule cut short.
    pub failed_reads: u64,
    /// Answers that the kernel did not take.
    pub failed_answers: u64,
    /// Bytes from the backend.
    pub bytes_fetched: u64,
    /// Bytes into the cache: those and what pads the last page.
    pub bytes_written: u64,
    /// Longest time from a message to the end of its service, in microseconds.
    pub longest_service_us: u64,
    /// Times that the device woke the daemon and had READs for it, or nothing at all.
    pub read_wakeups: u64,
}

/// [`Statistics`] that all threads count in.
#[derive(Debug, Default)]
pub(super) struct Counters {
    opens: AtomicU64,
    closes: AtomicU64,
    reads: AtomicU64,
    pub(super) refused_opens: AtomicU64,
    pub(super) failed_reads: AtomicU64,
    pub(super) failed_answers: AtomicU64,
    pub(super) bytes_fetched: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    longest_service_us: AtomicU64,
    pub(super) read_wakeups: AtomicU64,
}

/// Counts `n` more.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn received(&self, kind: Kind) {
        let counter = match kind {
            Kind::Open => &self.opens,
            Kind::Close => &self.closes,
            Kind::Read => &self.reads,
        };
        add(counter, 1);
    }

    pub(super) fn served(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.longest_service_us.fetch_max(time, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            opens: get(&self.opens),
            closes: get(&self.closes),
            reads: get(&self.reads),
            refused_opens: get(&self.refused_opens),
            failed_reads: get(&self.failed_reads),
            failed_answers: get(&self.failed_answers),
            bytes_fetched: get(&self.bytes_fetched),
            bytes_written: get(&self.bytes_written),
            longest_service_us: get(&self.longest_service_us),
            read_wakeups: get(&self.read_wakeups),
        }
    }
}
