// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the suite that mounts images served by nydusd, and its answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ondine_model::observation::Errno;
use serde::{Deserialize, Serialize};

use super::image::MountOutcome;

/// The job of `vmtest guest nydus`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NydusJob {
    /// The path of nydusd.
    pub program: PathBuf,
    /// The block device with an empty ext4, for the cache.
    pub drive: PathBuf,
    /// The file system type to mount with.
    pub fs: String,
    /// The images. First each is mounted alone; then the first image is mounted twice in one
    /// domain, and the daemon of the last image is killed while it is mounted.
    pub images: Vec<Image>,
    /// Files of the last image that are read before its daemon is killed.
    pub before: Vec<PathBuf>,
    /// A file of the last image that is not read before its daemon is killed.
    pub beyond: PathBuf,
}

/// An image that nydusd serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// The image's name.
    pub name: String,
    /// The path of the bootstrap.
    pub bootstrap: PathBuf,
    /// The directory of the stored blobs.
    pub blobs: PathBuf,
    /// The names of the stored blobs.
    pub names: Vec<String>,
    /// Expected sha256 of regular files, by path.
    pub sums: BTreeMap<String, String>,
}

/// The answer to a [`NydusJob`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    /// The results of mounting each image alone.
    pub alone: Vec<MountReport>,
    /// The results of two mounts of the first image in one domain.
    pub shared: Vec<MountReport>,
    /// The results for the last image, whose daemon is killed.
    pub restart: Restart,
    /// The end of nydusd's log.
    pub log: String,
}

/// The result of one mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountReport {
    /// The observation of the tree, or the errno of the mount.
    pub account: MountOutcome,
    /// Files with an unexpected sha256, one sentence each.
    pub wrong: Vec<String>,
    /// The errno of the unmount, if it failed.
    pub unmount: Option<Errno>,
    /// Bytes of stored blobs that nydusd read for this mount.
    pub fetched: u64,
    /// Bytes by which the used space of the cache's drive grew.
    pub filled: u64,
    /// Seconds of guest time.
    pub seconds: f64,
}

/// The results around the death of a daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// Reads of [`NydusJob::before`] without a daemon: the first errno.
    pub known: Result<(), Errno>,
    /// A read of [`NydusJob::beyond`] without a daemon.
    pub unknown: Result<(), Errno>,
    /// A read of [`NydusJob::beyond`] with the next daemon, through the old mount.
    pub then: Result<(), Errno>,
    /// The tree through the old mount, if `then` succeeded.
    pub old: Option<MountReport>,
    /// The tree through a new mount, if `then` failed.
    pub new: Option<MountReport>,
}
