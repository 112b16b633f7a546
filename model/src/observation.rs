// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Canonical description of a tree, and the comparison of two of them.
//!
//! Every check of the project takes two observations of what should be one tree, computes their
//! [`diff()`] and prints the first [`Difference`]. An observer (of a mounted tree, a source
//! directory, the model, the pure crate) does not stop at an error: the errno of an operation is
//! part of the observation.

mod diff;
mod digest;
mod errno;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use diff::{diff, diff_outcomes, Difference, Facet, Scope};
pub use digest::Digester;
pub use errno::Errno;
pub use text::Text;

/// Version of the JSON form. Other versions are rejected.
pub const SCHEMA: &str = "ondine-observation-1";

/// View of a tree by an observer.
///
/// Paths are relative to the root, without a leading or trailing slash; the root itself is the empty path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Every path reached by walking names, in byte order.
    pub entries: BTreeMap<Text, Entry>,
    /// Number of file content bytes read and digested.
    pub bytes: u64,
    /// Set when a limit of the observer ended the walk early, so that part of the tree is missing.
    pub truncated: bool,
}

/// Observation of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Result of lstat(2), or the errno of lookup or inode load. All other fields are empty after
    /// an error.
    pub stat: Result<Stat, Errno>,
    /// Result of llistxattr(2), then of lgetxattr(2) for each name.
    pub xattrs: Result<BTreeMap<Text, Result<Text, Errno>>, Errno>,
    /// Result of readlink(2); symbolic links only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Result<Text, Errno>>,
    /// Result of getdents(2); directories only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    /// Result of read(2) to the end of file; regular files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Result<Content, Errno>>,
    /// Result of SEEK_DATA and SEEK_HOLE; regular files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Result<Vec<Span>, Errno>>,
}

/// The attributes of an inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// File type from the inode's mode, never from the directory entry.
    pub kind: Kind,
    /// Permission bits, `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device, (0, 0) for everything else.
    pub rdev: (u32, u32),
    /// Size in bytes as stat(2) reports it.
    pub size: u64,
    /// Link count as stat(2) reports it, not as counted.
    pub nlink: u64,
    /// Modification time: seconds since 1970, nanoseconds.
    pub mtime: (i64, u32),
    /// First path of the hard-link group of a non-directory; set if two or more paths of this tree
    /// reach it. Inode numbers are not comparable between trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Text>,
}

/// A file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// Entries of a directory in stored order, without `.` and `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Names before the end, or before the error.
    pub names: Vec<Text>,
    /// Errno that ended the listing early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Errno>,
}

impl Listing {
    /// Names that can be looked up. A name that begins with NUL is empty to user space, and a path
    /// with it denotes the directory itself.
    pub fn reachable(&self) -> impl DoubleEndedIterator<Item = &Text> {
        self.names.iter().filter(|name| !name.is_empty())
    }
}

/// The bytes of a regular file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Number of bytes that read(2) returned before end of file.
    pub bytes: u64,
    /// 128-bit XXH3 of those bytes, in lower-case hex.
    pub xxh3: String,
}

/// A range that SEEK_DATA reports as data. The rest of the file is holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte of the data.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

impl Observation {
    /// An empty observation.
    pub fn new() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            entries: BTreeMap::new(),
            bytes: 0,
            truncated: false,
        }
    }

    /// Number of paths, including the root.
    pub fn paths(&self) -> usize {
        self.entries.len()
    }

    /// Sets the hard-link group of each entry from an identity that is valid within this tree
    /// (device and inode number, or nid). Directories and paths with a unique identity have no
    /// group.
    pub fn group_by<K: Ord>(&mut self, identity: impl Fn(&Text) -> Option<K>) {
        let mut members: BTreeMap<K, Vec<Text>> = BTreeMap::new();
        for (path, entry) in &self.entries {
            let groups = matches!(&entry.stat, Ok(stat) if stat.kind != Kind::Directory);
            if let (true, Some(key)) = (groups, identity(path)) {
                members.entry(key).or_default().push(path.clone());
            }
        }
        for paths in members.into_values().filter(|paths| paths.len() > 1) {
            for path in &paths {
                if let Some(Ok(stat)) = self.entries.get_mut(path).map(|e| e.stat.as_mut()) {
                    stat.group = Some(paths[0].clone());
                }
            }
        }
    }

    /// Serialises to JSON on one line.
    ///
    /// # Errors
    /// When memory runs out or the serialiser has a bug.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Parses the JSON form.
    ///
    /// # Errors
    /// When the text is not JSON of this shape, or of another [`SCHEMA`].
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let read: Self = serde_json::from_str(json)?;
        if read.schema != SCHEMA {
            return Err(serde::de::Error::custom(format!(
                "the observation is of schema {:?}, this program reads {SCHEMA:?}",
                read.schema
            )));
        }
        Ok(read)
    }
}

impl Default for Observation {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry {
    /// An entry whose lookup failed.
    pub fn failed(errno: Errno) -> Self {
        Self {
            stat: Err(errno),
            xattrs: Err(errno),
            target: None,
            listing: None,
            content: None,
            data: None,
        }
    }
}

impl Kind {
    /// File type from a mode's `S_IFMT` bits; `None` for a value that is no type.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::Character,
            0o060_000 => Self::Block,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The letter that `ls -l` prints.
    pub fn letter(self) -> char {
        match self {
            Self::Regular => '-',
            Self::Directory => 'd',
            Self::Symlink => 'l',
            Self::Character => 'c',
            Self::Block => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Character => "a character device",
            Self::Block => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        })
    }
}
