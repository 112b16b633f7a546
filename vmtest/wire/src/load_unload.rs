// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the load and unload stress test, and its answer.

use serde::{Deserialize, Serialize};

use super::image::Row;

/// The job of `vmtest guest load-unload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadUnloadJob {
    /// The drive with the images.
    pub drive: String,
    /// The module to load and unload.
    pub module: String,
    /// The images to mount in each round.
    pub rows: Vec<Row>,
    /// Number of rounds to measure.
    pub rounds: u32,
}

/// The answer to a [`LoadUnloadJob`]: signs of leaks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeakReport {
    /// Number of rounds measured.
    pub rounds: u32,
    /// Number of files read in all rounds.
    pub files: u64,
    /// Kinds of kernel objects whose number grew in both halves of the rounds: name, and the number
    /// before, between and after the halves.
    pub grown: Vec<(String, [u64; 3])>,
    /// Growth of the kernel's memory in each half, in bytes, with caches dropped.
    pub bytes: [i64; 2],
}
