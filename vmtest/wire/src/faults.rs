// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The jobs of the fault, power cut and density suites, and their answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::disk::DiskFs;

/// A fault that happens inside a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The daemon is killed.
    Kill,
    /// The daemon breaks the protocol.
    Misbehave,
    /// The mount is removed (by force, lazily or plainly) while requests wait, then the module is
    /// unloaded.
    Unmount,
    /// Reading and mounting tasks get signals.
    Signal,
    /// The cache's disk is full.
    Full,
    /// The cache's disk has bad blocks.
    BadBlocks,
    /// Allocations of mounting and reading tasks fail, by the kernel's fault injection.
    NoMemory,
    /// Requests of reading tasks to the cache's disk fail, by the kernel's fault injection.
    BadRequests,
    /// The listener of a fanotify pre-content group is killed: mainline's alternative, for comparison.
    Rival,
}

impl Fault {
    /// The faults, in the order in which they are tried.
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::Misbehave,
        Self::Unmount,
        Self::Signal,
        Self::Full,
        Self::BadBlocks,
        Self::NoMemory,
        Self::BadRequests,
        Self::Rival,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Misbehave => "misbehave",
            Self::Unmount => "unmount",
            Self::Signal => "signal",
            Self::Full => "full",
            Self::BadBlocks => "bad-blocks",
            Self::NoMemory => "no-memory",
            Self::BadRequests => "bad-requests",
            Self::Rival => "rival",
        }
    }

    /// True if the kernel itself makes calls fail (CONFIG_FAULT_INJECTION). What fails is looked at for
    /// leaks too.
    pub fn is_injected(self) -> bool {
        matches!(self, Self::NoMemory | Self::BadRequests)
    }

    /// The name of the figure that proves that the fault met a reader, by not being 0.
    pub fn proof(self) -> Option<&'static str> {
        match self {
            Self::Kill => Some(NO_DAEMON),
            Self::Misbehave => Some(SPOILED),
            Self::Unmount => Some(ABORTED),
            Self::Signal => None,
            Self::Full => Some(NO_SPACE),
            Self::BadBlocks => Some(BAD_BLOCKS),
            Self::NoMemory => Some(NO_MEMORY),
            Self::BadRequests => Some(BAD_REQUESTS),
            Self::Rival => Some(ZEROS),
        }
    }
}

/// The job of `vmtest guest faults`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultJob {
    /// The fault.
    pub fault: Fault,
    /// Number of rounds, unless the time is over or a round fails.
    pub rounds: u32,
    /// Maximum number of rounds if the first `rounds` do not have the [`proof`](Fault::proof) of the fault.
    pub proving: u32,
    /// Seconds after which no further round begins.
    pub seconds: u64,
    /// The seed of the first round. Round N has this plus N.
    pub seed: u64,
    /// The directory of the image's files.
    pub images: PathBuf,
    /// The names of the image's files: the bootstrap, then the blobs.
    pub names: Vec<String>,
    /// The file system of the cache's disk.
    pub disk: DiskFs,
    /// The module's file, for the fault that unloads the module.
    pub module: Option<PathBuf>,
}

/// The answer to a [`FaultJob`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FaultAnswer {
    /// Number of rounds played.
    pub rounds: u32,
    /// Guest time of all rounds, in seconds.
    pub seconds: f64,
    /// Counts over all rounds.
    pub figures: Figures,
    /// The failure, with the seed of its round; `None` if every round passed.
    pub failed: Option<String>,
}

/// Numbers with names, in the order in which they were first counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures(pub Vec<(String, u64)>);

impl Figures {
    /// True if the number of `name` is not 0.
    pub fn has(&self, name: &str) -> bool {
        let mut all = self.0.iter();
        all.any(|(known, count)| known == name && *count > 0)
    }

    /// Adds `n` to the number of `name`.
    pub fn add(&mut self, name: &str, n: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += n,
            None => self.0.push((name.to_owned(), n)),
        }
    }

    /// Raises the number of `name` to `n` if it is less.
    pub fn most(&mut self, name: &str, n: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, most)) => *most = n.max(*most),
            None => self.0.push((name.to_owned(), n)),
        }
    }
}

/// The job of `vmtest guest power-cut`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PowerJob {
    /// The disk with the cache.
    pub disk: PathBuf,
    /// The file system on it.
    pub fs: DiskFs,
    /// The file whose creation by the guest starts the power cut; without it the cache is checked but not
    /// filled again.
    pub trigger: Option<PathBuf>,
    /// The host's file that lists the data that a sync has made durable.
    pub synced_list: PathBuf,
    /// Determines the order of the reads and the moment of the cut.
    pub seed: u64,
    /// The directory of the image's files.
    pub images: PathBuf,
    /// The names of the image's files: the bootstrap, then the blobs.
    pub names: Vec<String>,
}

/// The job of `vmtest guest density`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DensityJob {
    /// The disk with the cache, an ext4 file system.
    pub disk: PathBuf,
    /// Number of mounts that share one set of blobs.
    pub mounts: u32,
    /// Number of further mounts, each with blobs of its own.
    pub alone: u32,
    /// The directory of the image's files.
    pub images: PathBuf,
    /// The names of the image's files: the bootstrap, then the blobs.
    pub names: Vec<String>,
}

/// The answer to a [`DensityJob`]: the memory that mounts take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Density {
    /// Number of blobs of an image, without the bootstrap.
    pub blobs: u32,
    /// Number of files that were compared.
    pub files: u64,
    /// Bytes of memory for each mount that shares its blobs.
    pub per_mount: i64,
    /// Bytes of memory for each further blob.
    pub per_blob: i64,
    /// Bytes of memory that were not freed after all mounts were unmounted, in total.
    pub left: i64,
    /// Slab caches that grew by at least one object per mount that shares its blobs: name and growth.
    pub slabs: Vec<(String, u64)>,
    /// Slab caches that were still larger by at least one object per mount (and by more than the
    /// allocator keeps) after all mounts were unmounted: name and growth.
    pub kept: Vec<(String, u64)>,
    /// Microseconds for each mount.
    pub mount_us: u64,
}

/// The figure of [`Fault::Kill`].
pub const NO_DAEMON: &str = "reads that failed with EIO without a daemon";

/// The figure of [`Fault::Misbehave`].
pub const SPOILED: &str = "mounts, reads and daemons that a rule ended";

/// The figure of [`Fault::Unmount`].
pub const ABORTED: &str = "reads that a forced unmount ended";

/// The figure of [`Fault::Full`].
pub const NO_SPACE: &str = "reads that failed for want of space";

/// The figure of [`Fault::BadBlocks`].
pub const BAD_BLOCKS: &str = "reads that failed for bad blocks";

/// The figure of [`Fault::NoMemory`].
pub const NO_MEMORY: &str = "mounts that failed for want of memory";

/// The figure of [`Fault::BadRequests`].
pub const BAD_REQUESTS: &str = "reads that failed for a refused request";

/// The figure of [`Fault::Rival`].
pub const ZEROS: &str = "pages of zeros that readers took for data";
