// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the benchmark, and its answer. The guest, the tables, the goals and the JSON report use
//! the same types.

mod mount;
mod workload;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use mount::MountUnderTest;
pub use workload::Workload;

/// The job of `vmtest guest bench`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The block device with the images and files to measure.
    pub drive: String,
    /// Maximum number of repeats of a workload. Fewer if the best two agree.
    pub repeats: u32,
    /// Measures only workloads whose name contains this text.
    pub only: Option<String>,
    /// The mounts to measure.
    pub sets: Vec<Set>,
    /// The path of `ondined`.
    pub daemon: PathBuf,
}

/// A set of mounts that are measured in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// Images in files and on loop devices.
    Files,
    /// Ondine on demand, and mainline's alternatives.
    OnDemand,
    /// The C driver on demand, on the kernel that has it.
    Fscache,
}

/// The data of a measured mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountedData {
    /// The root tree in one image, tails inline.
    Tree,
    /// The root tree in chunks of 1 MiB, its data in a blob.
    ChunkedTree,
    /// A file of 256 MiB in chunks of 1 MiB, its data in a blob.
    LargeFile,
    /// A file of 64 MiB in chunks of 1 MiB, its data in a blob: for mounts on demand.
    BlobFile,
}

/// The kernel caches that are dropped before a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No cache.
    Warm,
    /// Dentries and inodes.
    Names,
    /// Dentries, inodes and the page cache.
    Cold,
}

/// The measurement of one workload on one mount in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// The workload.
    pub work: Workload,
    /// The data of the mount.
    pub form: MountedData,
    /// The caches that were dropped before.
    pub state: State,
    /// The mount.
    pub place: MountUnderTest,
    /// Instructions of the best repeat.
    pub instructions: u64,
    /// Read requests to the device of the drive in the best repeat.
    pub reads: u64,
    /// Bytes of those requests.
    pub read_bytes: u64,
    /// Growth of the page cache in the best repeat, in bytes.
    #[serde(default)]
    pub cached_bytes: u64,
    /// Instructions of every repeat, in order.
    pub repeats: Vec<u64>,
}

/// A mount that failed and was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The mount.
    pub place: MountUnderTest,
    /// The data of the mount.
    pub form: MountedData,
    /// The errno of mount(2).
    pub errno: String,
}

/// The answer to a [`Job`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Findings {
    /// The release of the guest's kernel.
    pub kernel: String,
    /// The measurements, in the order in which they were made.
    pub figures: Vec<Figure>,
    /// The mounts that failed.
    pub refused: Vec<Refused>,
}

/// Number of reads of [`Workload::Random`] on [`MountedData::BlobFile`].
pub const BLOB_READS: u64 = 4000;

impl Figure {
    /// True if both have the same workload, data and state.
    pub fn same_row(&self, other: &Self) -> bool {
        self.work == other.work && self.form == other.form && self.state == other.state
    }

    /// The measurement of `place` to compare this one with, if there is one.
    ///
    /// The plain tree on ext4 and tmpfs is compared with both image forms of the tree; tmpfs is
    /// measured warm only; ext4 is taken from the kernel of this measurement.
    pub fn peer<'a>(&self, all: &'a [Self], place: MountUnderTest) -> Option<&'a Self> {
        let free = [MountUnderTest::Ext4, MountUnderTest::Tmpfs].contains(&place)
            && self.form == MountedData::ChunkedTree;
        let form = if free { MountedData::Tree } else { self.form };
        let is_fscache =
            [MountUnderTest::CFscache, MountUnderTest::FscacheExt4].contains(&self.place);
        let place = if place == MountUnderTest::Ext4 && is_fscache {
            MountUnderTest::FscacheExt4
        } else {
            place
        };
        let state = if place == MountUnderTest::Tmpfs {
            State::Warm
        } else {
            self.state
        };
        all.iter()
            .find(|f| f.work == self.work && f.state == state && f.form == form && f.place == place)
    }
}

impl fmt::Display for MountedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "root tree",
            Self::ChunkedTree => "root tree in 1 MiB chunks",
            Self::LargeFile => "256 MiB file in 1 MiB chunks",
            Self::BlobFile => "64 MiB file in 1 MiB chunks",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warm => "warm",
            Self::Names => "dentries and inodes dropped",
            Self::Cold => "cold",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A measurement with one repeat.
    fn figure(work: Workload, state: State, place: MountUnderTest, n: u64) -> Figure {
        Figure {
            work,
            form: MountedData::Tree,
            state,
            place,
            instructions: n,
            reads: n / 10,
            read_bytes: 0,
            cached_bytes: n * 3,
            repeats: vec![n],
        }
    }

    #[test]
    fn a_tree_outside_of_images_is_the_peer_of_both_forms() {
        let native = figure(Workload::TarNames, State::Warm, MountUnderTest::Ext4, 5);
        let c = figure(Workload::TarNames, State::Warm, MountUnderTest::CFile, 6);
        let mut ours = figure(
            Workload::TarNames,
            State::Warm,
            MountUnderTest::OndineFile,
            7,
        );
        ours.form = MountedData::ChunkedTree;
        let all = [native.clone(), c, ours.clone()];
        assert_eq!(ours.peer(&all, MountUnderTest::Ext4), Some(&native));
        assert_eq!(ours.peer(&all, MountUnderTest::CFile), None);
    }

    #[test]
    fn native_is_on_the_same_kernel() {
        let native = figure(Workload::Random, State::Cold, MountUnderTest::Ext4, 5);
        let old_native = figure(
            Workload::Random,
            State::Cold,
            MountUnderTest::FscacheExt4,
            6,
        );
        let old = figure(Workload::Random, State::Cold, MountUnderTest::CFscache, 7);
        let ours = figure(Workload::Random, State::Cold, MountUnderTest::OnDemand, 8);
        let all = [
            native.clone(),
            old_native.clone(),
            old.clone(),
            ours.clone(),
        ];
        assert_eq!(old.peer(&all, MountUnderTest::Ext4), Some(&old_native));
        assert_eq!(ours.peer(&all, MountUnderTest::Ext4), Some(&native));
        assert_eq!(ours.peer(&all, MountUnderTest::CFscache), Some(&old));
    }
}
