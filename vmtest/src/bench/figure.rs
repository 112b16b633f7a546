// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a measurement is: the words that guest, table, goals and JSON share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The root tree in one image, tails inline.
    Tree,
    /// The same tree in chunks of 1 MiB, its data in a blob.
    ChunkedTree,
    /// One file of 256 MiB in chunks of 1 MiB, its data in a blob.
    LargeFile,
    /// One file of 64 MiB likewise: what is measured on demand.
    BlobFile,
}

/// What of the kernel's caches is dropped before a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing.
    Warm,
    /// Dentries and inodes.
    Names,
    /// Those and all pages.
    Cold,
}

/// One workload on one mount in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// The workload.
    pub work: String,
    /// What it works on.
    pub form: Form,
    /// What was dropped before.
    pub state: State,
    /// The file system and how it was mounted.
    pub place: String,
    /// Instructions of the best repeat.
    pub instructions: u64,
    /// Read requests that the store's device got in that repeat.
    pub reads: u64,
    /// Bytes of those requests.
    pub read_bytes: u64,
    /// What the page cache grew by in that repeat, in bytes.
    #[serde(default)]
    pub cached_bytes: u64,
    /// Instructions of every repeat, in order.
    pub repeats: Vec<u64>,
}

/// A mount that the guest's kernel refused, and so was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The mount.
    pub place: String,
    /// Of what.
    pub form: Form,
    /// The kernel's answer.
    pub errno: String,
}

/// Everything that the guest found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Findings {
    /// The release of the guest's kernel.
    pub kernel: String,
    /// In the order of measuring.
    pub figures: Vec<Figure>,
    /// Mounts that did not come about.
    pub refused: Vec<Refused>,
}

/// Every byte of a tree, as behind a pipe.
pub const TAR_DATA: &str = "tar with data";
/// The first 64 MiB of a file, by page faults.
pub const MAPPED_FILE: &str = "mmap, first 64 MiB";
/// Every page of every file of a tree, by page faults.
pub const MAPPED: &str = "maps of a tree";
/// All of a tree by read(2), then by page faults, then by read(2) again.
pub const READ_AND_MAPPED: &str = "reads, maps, reads of a tree";
/// A file from its beginning to its end.
pub const SEQUENTIAL: &str = "sequential read";
/// Pages of a file, here and there.
pub const RANDOM: &str = "random 4 KiB reads";

/// The place that ratios to the C driver are of.
pub const C_FILE: &str = "C file";
/// The place that ratios to native are of: the tree, or the blob, on the store's ext4.
pub const NATIVE: &str = "ext4";
/// The floor of the VFS.
pub const FLOOR: &str = "tmpfs";
/// The place that the goals of file-backed mounts are for.
pub const SUBJECT: &str = "ondine file";
/// The C driver reading its files directly.
pub const C_DIRECT: &str = "C directio";
/// The C driver on files that a fanotify group watches before they are read.
pub const C_MARKED: &str = "C file, marked";
/// The C driver on demand, on the last kernel that had it.
pub const C_FSCACHE: &str = "C fscache (6.12)";
/// Native on that kernel.
pub const FSCACHE_NATIVE: &str = "ext4 (6.12)";
/// The place that the goals of on-demand loading are for.
pub const ON_DEMAND: &str = "ondine on demand";

impl Figure {
    /// Whether both are of the same work on the same thing in the same state.
    pub fn same_row(&self, other: &Self) -> bool {
        self.work == other.work && self.form == other.form && self.state == other.state
    }

    /// The figure of `place` that this one is to be held against, if it was measured.
    ///
    /// A tree that is in no image is one for every form of image, tmpfs has no other state than warm,
    /// and native is what is native on the figure's own kernel.
    pub fn peer<'a>(&self, all: &'a [Self], place: &str) -> Option<&'a Self> {
        let free = [NATIVE, FLOOR].contains(&place) && self.form == Form::ChunkedTree;
        let form = if free { Form::Tree } else { self.form };
        let place = if place == NATIVE && [C_FSCACHE, FSCACHE_NATIVE].contains(&&*self.place) {
            FSCACHE_NATIVE
        } else {
            place
        };
        let state = if place == FLOOR {
            State::Warm
        } else {
            self.state
        };
        all.iter()
            .find(|f| f.work == self.work && f.state == state && f.form == form && f.place == place)
    }
}

impl fmt::Display for Form {
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
pub(super) mod tests {
    use super::*;

    /// A figure of one repeat.
    pub(in crate::bench) fn figure(work: &str, state: State, place: &str, n: u64) -> Figure {
        Figure {
            work: work.to_owned(),
            form: Form::Tree,
            state,
            place: place.to_owned(),
            instructions: n,
            reads: n / 10,
            read_bytes: 0,
            cached_bytes: n * 3,
            repeats: vec![n],
        }
    }

    #[test]
    fn a_tree_outside_of_images_is_the_peer_of_both_forms() {
        let native = figure("tar", State::Warm, NATIVE, 5);
        let c = figure("tar", State::Warm, C_FILE, 6);
        let mut ours = figure("tar", State::Warm, SUBJECT, 7);
        ours.form = Form::ChunkedTree;
        let all = [native.clone(), c, ours.clone()];
        assert_eq!(ours.peer(&all, NATIVE), Some(&native));
        assert_eq!(ours.peer(&all, C_FILE), None);
    }

    #[test]
    fn native_is_on_the_same_kernel() {
        let native = figure("random", State::Cold, NATIVE, 5);
        let old_native = figure("random", State::Cold, FSCACHE_NATIVE, 6);
        let old = figure("random", State::Cold, C_FSCACHE, 7);
        let ours = figure("random", State::Cold, ON_DEMAND, 8);
        let all = [
            native.clone(),
            old_native.clone(),
            old.clone(),
            ours.clone(),
        ];
        assert_eq!(old.peer(&all, NATIVE), Some(&old_native));
        assert_eq!(ours.peer(&all, NATIVE), Some(&native));
        assert_eq!(ours.peer(&all, C_FSCACHE), Some(&old));
    }
}
