// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the suite that floods the request table, and its answer.

use serde::{Deserialize, Serialize};

/// The job of `vmtest guest flood`: hints and killed readers of one mount, while the daemon reads no messages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FloodJob {
    /// Number of calls of posix_fadvise(POSIX_FADV_WILLNEED), each for another page.
    pub hints: u64,
    /// Number of tasks that are killed while they wait for a page.
    pub readers: u64,
}

/// Cost of a flood for others than the task that causes it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Flood {
    /// Microseconds that a hint takes, on average.
    pub hint_us: f64,
    /// The most requests that the daemon had not read, after the hints and after the readers.
    pub queued: u64,
    /// Seconds from the SIGKILL of waiting readers until the last of them has ended; the longest of all groups.
    pub kill_seconds: f64,
    /// Bytes of free memory that are missing after the flood, with the daemon still at rest and all caches dropped.
    pub memory: i64,
    /// Processes that the kernel killed for lack of memory in the flood's cgroup.
    pub oom_kills: u64,
    /// Microseconds of a poll(2) of the device.
    pub poll_us: f64,
    /// Messages that the daemon reads until it has that of another mount's miss, which is included.
    pub messages: u64,
    /// Microseconds of the close(2) of the device.
    pub close_us: f64,
}
