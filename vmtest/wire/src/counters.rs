// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The counters of on-demand mounts, and their comparison with a daemon's.

use anyhow::{ensure, Result};
use ondined::session::Statistics;
use serde::{Deserialize, Serialize};

/// The counters of an on-demand mount, or their sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Reads that found all their bytes in the cache.
    pub hits: u64,
    /// Reads that found bytes missing.
    pub misses: u64,
    /// READ requests that reads caused.
    pub requests: u64,
    /// Waits for a request that another read has waited for already.
    pub requests_merged: u64,
    /// Reads that are waiting now.
    pub waiting: u64,
    /// Longest wait of a read, in microseconds. The maximum, not the sum, over several mounts.
    pub longest_wait_us: u64,
    /// Bytes that a daemon has written to the cache.
    pub bytes_filled: u64,
}

/// Compares the counters of a daemon's mounts with the daemon's own.
///
/// # Errors
/// When bytes or requests differ; the message has both numbers.
pub fn agree(counted: &Counters, done: &Statistics) -> Result<()> {
    ensure!(
        counted.bytes_filled == done.bytes_written,
        "mounts count {} bytes filled, the daemon wrote {}",
        counted.bytes_filled,
        done.bytes_written
    );
    ensure!(
        counted.requests == done.reads,
        "mounts count {} requests, the daemon read {} READ messages",
        counted.requests,
        done.reads
    );
    Ok(())
}
