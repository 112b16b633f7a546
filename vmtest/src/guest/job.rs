// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the host asks of `vmtest guest observe`, and what it gets back.

use ondine_model::observation::{Errno, Observation};
use serde::{Deserialize, Serialize};

/// The images to look at, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserveJob {
    /// The block device with the images, mounted before anything else.
    pub drive: Option<String>,
    /// One row for each image.
    pub rows: Vec<Row>,
    /// Bound on bytes read, on the size of a file that is read, and on paths, for each account.
    pub limits: Limits,
}

/// One image, by its paths in the guest.
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
    /// Who looks at it, in this order.
    pub observers: Vec<Observer>,
}

/// A file system driver over one kind of source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Observer {
    /// The file system type to mount with.
    pub fs: String,
    /// The kind of source.
    pub backing: Backing,
}

/// What a mount takes its bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// The image file itself.
    File,
    /// A loop device on it.
    Loop,
    /// A cache that a daemon fills.
    Cache(Fill),
}

/// What a cache holds before a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing.
    Empty,
    /// Every other run of a few pages.
    Half,
    /// All blobs.
    Full,
}

/// Where an observer stops, so that a hostile image cannot keep it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of content in all.
    pub bytes: u64,
    /// Size of a file above which its content is left out.
    pub file_bytes: u64,
    /// Paths.
    pub paths: usize,
}

/// What one observer made of one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sight {
    /// The row's name.
    pub row: String,
    /// The observer.
    pub observer: Observer,
    /// Seconds of guest time for mount, walk and unmount.
    pub seconds: f64,
    /// The account.
    pub account: Account,
    /// Set when the unmount failed.
    pub unmount: Option<Errno>,
}

/// An account, or where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The mount was refused.
    Refused(Errno),
    /// In this file of the job's directory.
    Tree(String),
}

impl Observer {
    /// The driver `fs` over `backing`.
    pub fn new(fs: &str, backing: Backing) -> Self {
        Self {
            fs: fs.to_owned(),
            backing,
        }
    }

    /// Ondine from file and from loop device, then the C driver likewise.
    pub fn all() -> Vec<Self> {
        ["ondine", "erofs"]
            .into_iter()
            .flat_map(|fs| [Backing::File, Backing::Loop].map(|backing| Self::new(fs, backing)))
            .collect()
    }
}

impl std::fmt::Display for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let who = if self.fs == "erofs" {
            "C erofs"
        } else {
            &self.fs
        };
        match self.backing {
            Backing::File => write!(f, "{who} (file)"),
            Backing::Loop => write!(f, "{who} (loop)"),
            Backing::Cache(fill) => write!(f, "{who} ({fill})"),
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
    /// Limits for images that nobody vouches for.
    pub fn hostile() -> Self {
        Self {
            bytes: 64 << 20,
            file_bytes: 8 << 20,
            paths: 4000,
        }
    }

    /// The same, as the model's observers take them.
    pub fn options(&self) -> ondine_model::observe::Options {
        ondine_model::observe::Options {
            bytes: self.bytes,
            file_bytes: self.file_bytes,
            paths: self.paths,
            ..Default::default()
        }
    }
}

/// The outcome of a look: an account, or the errno of the mount.
pub type Outcome = Result<Observation, Errno>;
