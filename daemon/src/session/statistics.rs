// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Counters of a session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::misbehaviour::MessageKind;

/// Counters of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// OPEN messages received.
    pub opens: u64,
    /// CLOSE messages received.
    pub closes: u64,
    /// READ messages received.
    pub reads: u64,
    /// OPENs answered with an error.
    pub refused_opens: u64,
    /// READs completed without all of their bytes, because fetching or writing failed. Excludes READs
    /// that a rule shortened.
    pub failed_reads: u64,
    /// Answers that the kernel refused.
    pub failed_answers: u64,
    /// Bytes fetched from the backend.
    pub bytes_fetched: u64,
    /// Bytes written to the cache: the fetched ones and the padding of last pages.
    pub bytes_written: u64,
    /// Longest time from receiving a message to the end of its service, in microseconds.
    pub longest_service_us: u64,
    /// Wake-ups by the device that delivered a READ, or no message at all.
    pub read_wakeups: u64,
}

/// The counters behind [`Statistics`], which all threads update.
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

/// Adds `n` to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// Counts a received message.
    pub(super) fn received(&self, kind: MessageKind) {
        let counter = match kind {
            MessageKind::Open => &self.opens,
            MessageKind::Close => &self.closes,
            MessageKind::Read => &self.reads,
        };
        add(counter, 1);
    }

    /// Records the time that the service of a message took.
    pub(super) fn served(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.longest_service_us.fetch_max(time, Ordering::Relaxed);
    }

    /// The current values.
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
