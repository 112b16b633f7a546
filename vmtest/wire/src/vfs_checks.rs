// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the VFS checks, and their results.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::DiskFs;
use super::image::Row;

/// The job of `vmtest guest vfs-checks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VfsCheckJob {
    /// The drive with the images.
    pub drive: String,
    /// A writable drive.
    pub store: String,
    /// The file system on `store`. The images are copied to it and mounted from there, unless it is
    /// ext4, which they are on already.
    pub disk: DiskFs,
    /// A directory of the host that can be written (9p in the guest).
    pub shared: PathBuf,
    /// Images of the special files. The last one holds another image in its file `inner`.
    pub rows: Vec<Row>,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckResult {
    /// The behaviour that the check expects.
    pub name: String,
    /// The image and the observer.
    pub on: String,
    /// The reason of the failure; `None` if the check passed.
    pub failed: Option<String>,
    /// Seconds of guest time.
    pub seconds: f64,
}
