// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The workloads, and the selection of workloads for each form of data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MountedData, State};

/// A workload: reads of a tree or of a file on a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// tar of a tree to /dev/null: reads names and inodes, since tar skips file data there.
    #[serde(rename = "tar to /dev/null")]
    TarNames,
    /// find -ls of a tree: reads names, inodes and symbolic links.
    #[serde(rename = "find -ls")]
    Find,
    /// Reads every directory, looks up every entry, reads every symbolic link.
    #[serde(rename = "walk")]
    Walk,
    /// tar of a tree into a pipe: reads every byte.
    #[serde(rename = "tar with data")]
    TarData,
    /// Faults in every page of every file of a tree.
    #[serde(rename = "maps of a tree")]
    MapTree,
    /// Reads a tree by read(2), then by page faults, then by read(2) again.
    #[serde(rename = "reads, maps, reads of a tree")]
    ReadAndMapTree,
    /// Reads a file from its beginning to its end.
    #[serde(rename = "sequential read")]
    Sequential,
    /// Reads single pages of a file at random offsets.
    #[serde(rename = "random 4 KiB reads")]
    Random,
    /// Faults in the first 64 MiB of a file.
    #[serde(rename = "mmap, first 64 MiB")]
    MapFile,
}

impl Workload {
    /// The name in tables and in the JSON report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TarNames => "tar to /dev/null",
            Self::Find => "find -ls",
            Self::Walk => "walk",
            Self::TarData => "tar with data",
            Self::MapTree => "maps of a tree",
            Self::ReadAndMapTree => "reads, maps, reads of a tree",
            Self::Sequential => "sequential read",
            Self::Random => "random 4 KiB reads",
            Self::MapFile => "mmap, first 64 MiB",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const ALL: &[State] = &[State::Warm, State::Names, State::Cold];
const ENDS: &[State] = &[State::Warm, State::Cold];
const COLD: &[State] = &[State::Cold];

impl MountedData {
    /// The workloads that are measured on this form of data, each with its states.
    pub const fn workloads(self) -> &'static [(Workload, &'static [State])] {
        match self {
            Self::Tree => &[
                (Workload::TarNames, ALL),
                (Workload::Find, ALL),
                (Workload::Walk, ALL),
                (Workload::TarData, ENDS),
                (Workload::MapTree, COLD),
                (Workload::ReadAndMapTree, COLD),
            ],
            Self::ChunkedTree => &[
                (Workload::TarNames, ALL),
                (Workload::TarData, ENDS),
                (Workload::MapTree, COLD),
                (Workload::ReadAndMapTree, COLD),
            ],
            Self::LargeFile => &[
                (Workload::Sequential, ENDS),
                (Workload::Random, ENDS),
                (Workload::MapFile, COLD),
            ],
            Self::BlobFile => &[
                (Workload::Sequential, COLD),
                (Workload::Random, COLD),
                (Workload::MapFile, COLD),
            ],
        }
    }
}
