// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The mounts that are measured, and the sets of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MountedData, Set};

/// A driver with its source of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MountUnderTest {
    /// The tree on tmpfs: the lower bound, the cost of the VFS itself.
    #[serde(rename = "tmpfs")]
    Tmpfs,
    /// The tree, or the blob, as files on the drive's ext4.
    #[serde(rename = "ext4")]
    Ext4,
    /// The C driver on image files.
    #[serde(rename = "C file")]
    CFile,
    /// Ondine on image files. The goals of file-backed mounts apply to it.
    #[serde(rename = "ondine file")]
    OndineFile,
    /// The C driver on image files, with direct I/O.
    #[serde(rename = "C directio")]
    CDirect,
    /// Ondine on image files, with direct I/O.
    #[serde(rename = "ondine directio")]
    OndineDirect,
    /// The C driver on loop devices.
    #[serde(rename = "C loop")]
    CLoop,
    /// Ondine on loop devices.
    #[serde(rename = "ondine loop")]
    OndineLoop,
    /// Ondine on demand with a full cache. The goals of on-demand loading apply to it.
    #[serde(rename = "ondine on demand")]
    OnDemand,
    /// The C driver on image files with a fanotify mark for pre-content events.
    #[serde(rename = "C file, marked")]
    CMarked,
    /// The C driver on demand, on Linux 6.12.
    #[serde(rename = "C fscache (6.12)")]
    CFscache,
    /// The blob as a file on the drive's ext4, on Linux 6.12.
    #[serde(rename = "ext4 (6.12)")]
    FscacheExt4,
}

impl MountUnderTest {
    /// The name in tables and in the JSON report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
            Self::CFile => "C file",
            Self::OndineFile => "ondine file",
            Self::CDirect => "C directio",
            Self::OndineDirect => "ondine directio",
            Self::CLoop => "C loop",
            Self::OndineLoop => "ondine loop",
            Self::OnDemand => "ondine on demand",
            Self::CMarked => "C file, marked",
            Self::CFscache => "C fscache (6.12)",
            Self::FscacheExt4 => "ext4 (6.12)",
        }
    }

    /// True if the driver is Ondine.
    pub const fn is_ondine(self) -> bool {
        matches!(
            self,
            Self::OndineFile | Self::OndineDirect | Self::OndineLoop | Self::OnDemand
        )
    }
}

impl fmt::Display for MountUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

use MountUnderTest::{
    CDirect, CFile, CFscache, CLoop, CMarked, Ext4, FscacheExt4, OnDemand, OndineDirect,
    OndineFile, OndineLoop, Tmpfs,
};
use MountedData::{BlobFile, ChunkedTree, LargeFile, Tree};

const FILES: &[(MountedData, MountUnderTest)] = &[
    (Tree, Tmpfs),
    (Tree, Ext4),
    (Tree, CFile),
    (Tree, OndineFile),
    (Tree, CDirect),
    (Tree, OndineDirect),
    (Tree, CLoop),
    (Tree, OndineLoop),
    (ChunkedTree, CFile),
    (ChunkedTree, OndineFile),
    (ChunkedTree, CDirect),
    (ChunkedTree, OndineDirect),
    (LargeFile, Ext4),
    (LargeFile, CFile),
    (LargeFile, OndineFile),
    (LargeFile, CDirect),
    (LargeFile, OndineDirect),
    (LargeFile, CLoop),
    (LargeFile, OndineLoop),
];

const ON_DEMAND: &[(MountedData, MountUnderTest)] = &[
    (BlobFile, Ext4),
    (BlobFile, OnDemand),
    (BlobFile, CFile),
    (BlobFile, CDirect),
    (BlobFile, CMarked),
    (ChunkedTree, CFile),
    (ChunkedTree, OnDemand),
    (ChunkedTree, CDirect),
    (ChunkedTree, CMarked),
];

const FSCACHE: &[(MountedData, MountUnderTest)] = &[
    (BlobFile, FscacheExt4),
    (BlobFile, CFscache),
    (ChunkedTree, CFscache),
];

impl Set {
    /// The mounts of the set, in the order of measuring: mounts whose results are compared follow each
    /// other closely.
    pub const fn mounts(self) -> &'static [(MountedData, MountUnderTest)] {
        match self {
            Self::Files => FILES,
            Self::OnDemand => ON_DEMAND,
            Self::Fscache => FSCACHE,
        }
    }
}
