// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the suite that measures the cost of cache misses, and its answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::image::Row;

/// The job of `vmtest guest misses`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The drive with the image.
    pub images: String,
    /// The path of `ondined`.
    pub daemon: PathBuf,
    /// The image with one file, `large`, whose data is in a blob.
    pub row: Row,
    /// The workloads to run.
    pub workloads: Workloads,
}

/// A selection of the workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workloads {
    /// Every workload.
    All,
    /// Workloads whose verdict uses counters only, and so does not depend on the machine's speed.
    Counted,
}

/// The result of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// The name of the workload.
    pub work: String,
    /// Milliseconds that the server waits before each answer.
    pub latency_ms: u64,
    /// Number of ranges that were missed one after the other; for a workload that reads in order, the
    /// number of MiB.
    pub misses: u64,
    /// Number of READ messages.
    pub reads: u64,
    /// Number of times that the daemon was woken for READs.
    pub wakeups: u64,
    /// The mount's counters.
    pub counters: Counters,
    /// READ requests in flight.
    pub flight: InFlight,
}

/// The answer to a [`Job`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The result of each workload.
    pub trials: Vec<Trial>,
    /// Contradictions between counters, tracepoints, the daemon's numbers and the clock.
    pub wrong: Vec<String>,
}

/// Size of the file `large`, in bytes.
pub const SIZE: u64 = 64 << 20;

/// The workloads that read the file in order.
pub const IN_ORDER: [&str; 3] = ["read(2)", "mmap", "sendfile(2)"];

/// The workloads in which many tasks read the same range.
pub const TOGETHER: [&str; 2] = ["16 readers, read(2)", "16 readers, mmap"];

/// The workload that reads single pages.
pub const SINGLE: &str = "single pages";

/// The workload that reads the whole file by one pread(2).
pub const WHOLE: &str = "one pread(2)";

/// Number of requests in flight that is enough to hide the server's latency.
pub const ENOUGH_IN_FLIGHT: usize = 4;

/// The READ requests in flight between the first and the last submission. A request is in flight from
/// its submission to its completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// Average number over time.
    pub mean: f64,
    /// Fraction of the time with at least [`ENOUGH_IN_FLIGHT`] requests, counted from the first such moment.
    pub enough: f64,
    /// Microseconds from the first to the last submission.
    pub micros: u64,
    /// Pages of the longest request.
    pub longest_pages: u64,
    /// The largest number of pages at one time that are requested and neither written nor given up.
    pub most_pages: u64,
}
