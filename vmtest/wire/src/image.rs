// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of `vmtest guest observe`, and its answer.

use std::fs;
use std::path::Path;

use ondine_model::observation::{Errno, Observation};
use serde::{Deserialize, Serialize};

/// The job of `vmtest guest observe`: images to mount and observe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserveJob {
    /// The block device with the images. It is mounted first.
    pub drive: Option<String>,
    /// A row for each image.
    pub rows: Vec<Row>,
    /// Limits of each observation.
    pub limits: Limits,
}

/// An image, by its paths in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The row's name.
    pub name: String,
    /// The primary device.
    pub primary: String,
    /// Extra devices, in slot order.
    pub devices: Vec<String>,
    /// Further mount options.
    pub options: Vec<String>,
    /// The observers of the image, in this order.
    pub observers: Vec<Observer>,
}

/// A file system driver, with the kind of source that it mounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Observer {
    /// The file system type to mount with.
    pub fs: String,
    /// The kind of source.
    pub backing: Backing,
}

/// The source of a mount's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// The image file itself.
    File,
    /// A loop device over the image file.
    Loop,
    /// A cache that a daemon fills.
    Cache(Fill),
}

/// The contents of a cache before the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// No data.
    Empty,
    /// Every other run of a few pages.
    Half,
    /// The data of all blobs.
    Full,
}

/// Limits of an observation, so that it ends for a damaged image too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Total bytes of file contents.
    pub bytes: u64,
    /// Size in bytes above which a file's contents are left out.
    pub file_bytes: u64,
    /// Number of paths.
    pub paths: usize,
}

/// The result of one observer for one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserverReport {
    /// The row's name.
    pub row: String,
    /// The observer.
    pub observer: Observer,
    /// Seconds of guest time for mount, walk and unmount.
    pub seconds: f64,
    /// The observation, or the errno of the mount.
    pub account: MountOutcome,
    /// The errno of the unmount, if it failed.
    pub unmount: Option<Errno>,
}

/// The observation of a mounted tree, or the errno of the mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountOutcome {
    /// The mount failed with this errno.
    Refused(Errno),
    /// The observation is in this file of the job's directory.
    Tree(String),
}

impl Observer {
    /// The observer with the file system type `fs` over `backing`.
    pub fn new(fs: &str, backing: Backing) -> Self {
        Self {
            fs: fs.to_owned(),
            backing,
        }
    }

    /// The observers of the image matrix: Ondine and the C driver, each from a file and from a loop
    /// device.
    pub fn all() -> Vec<Self> {
        ["ondine", "erofs"]
            .into_iter()
            .flat_map(|fs| [Backing::File, Backing::Loop].map(|backing| Self::new(fs, backing)))
            .collect()
    }
}

impl std::fmt::Display for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let driver = if self.fs == "erofs" {
            "C erofs"
        } else {
            &self.fs
        };
        match self.backing {
            Backing::File => write!(f, "{driver} (file)"),
            Backing::Loop => write!(f, "{driver} (loop)"),
            Backing::Cache(fill) => write!(f, "{driver} ({fill})"),
        }
    }
}

impl std::fmt::Display for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty cache",
            Self::Half => "half a cache",
            Self::Full => "full cache",
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        let all = ondine_model::observe::Options::default();
        Self {
            bytes: all.bytes,
            file_bytes: all.file_bytes,
            paths: all.paths,
        }
    }
}

impl Limits {
    /// Lower limits, for damaged images, whose sizes may be arbitrary.
    pub fn hostile() -> Self {
        Self {
            bytes: 64 << 20,
            file_bytes: 8 << 20,
            paths: 4000,
        }
    }

    /// The same limits as options of the model's observers.
    pub fn options(&self) -> ondine_model::observe::Options {
        ondine_model::observe::Options {
            bytes: self.bytes,
            file_bytes: self.file_bytes,
            paths: self.paths,
            ..Default::default()
        }
    }
}

impl ObserverReport {
    /// Reads the observation from the job's directory `dir`, on the host.
    ///
    /// # Errors
    /// When the file does not exist or is not an observation.
    pub fn outcome(&self, dir: &Path) -> anyhow::Result<Outcome> {
        Ok(match &self.account {
            MountOutcome::Refused(errno) => Err(*errno),
            MountOutcome::Tree(file) => Ok(Observation::from_json(&fs::read_to_string(
                dir.join(file),
            )?)?),
        })
    }
}

/// The observation of an image, or the errno of the mount.
pub type Outcome = Result<Observation, Errno>;
