// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The file systems of a guest's disks, on which caches and the files of images lie.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// A file system on a disk of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFs {
    /// ext4, the one that Ondine is used on most.
    #[default]
    Ext4,
    /// XFS: holds its inode lock shared during buffered reads.
    Xfs,
    /// btrfs: has checksums, and writes copies of blocks that have data already.
    Btrfs,
}

impl DiskFs {
    /// The file systems, the usual one first.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name for mount(2), and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The file system with this [name](Self::as_str).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fs| fs.as_str() == name)
    }

    /// The least number of bytes of a disk that its mkfs accepts, and a few MiB of room.
    pub fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => 0,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 256 << 20,
        }
    }

    /// The command that makes this file system, over another one if there is one; its argument is the
    /// device or the file. `journal` is heeded by ext4 alone, the others have no choice.
    pub fn mkfs(self, journal: Journal) -> Command {
        let mut make = Command::new(format!("mkfs.{}", self.as_str()));
        // Debian has it in /usr/sbin, which is not in the PATH of ordinary users.
        let path = std::env::var("PATH").unwrap_or_default();
        make.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        match self {
            Self::Ext4 => {
                let journal = match journal {
                    Journal::With => "has_journal",
                    Journal::Without => "^has_journal",
                };
                // The kernel writes no tables later, which would take memory of a disk in memory.
                make.args(["-q", "-F", "-b", "4096", "-m", "0", "-O", journal])
                    .args(["-E", "lazy_itable_init=0,lazy_journal_init=0"])
            }
            Self::Xfs => make.args(["-q", "-f"]),
            // Data and metadata share the room of so small a disk.
            Self::Btrfs => make.args(["-q", "-f", "--mixed"]),
        };
        make
    }
}

/// Presence of a journal in a new ext4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// A power cut leaves it sound.
    With,
    /// A bad block of the journal cannot take down the whole file system.
    Without,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_names_one() {
        for fs in DiskFs::ALL {
            assert_eq!(DiskFs::named(fs.as_str()), Some(fs));
        }
        assert_eq!(DiskFs::named("ext3"), None);
    }
}
