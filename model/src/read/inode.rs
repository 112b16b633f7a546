// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Inodes and their on-disk records (docs/spec/erofs-format.md section 4).

use super::fields::Fields;
use super::{MetadataAddress, Result, Superblock};
use crate::observation::{Kind, Stat};
use crate::strictness::Defect;

/// On-disk form of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// 32 bytes.
    Compact,
    /// 64 bytes.
    Extended,
}

/// Data layout of an inode (docs/spec/erofs-format.md section 5). Compressed inodes do not load and
/// have no layout here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A run of blocks; `None` is a hole of the file's size.
    Plain {
        /// First block.
        start: Option<u64>,
    },
    /// A run of blocks, and a tail directly after the inode's attributes.
    Inline {
        /// First block of the run.
        start: u64,
    },
    /// A map of chunks.
    Chunks {
        /// log2 of the chunk size in blocks.
        bits: u8,
        /// Records are 8 bytes with device ids, rather than 4 bytes.
        indexes: bool,
        /// Block numbers have 48 bits.
        large: bool,
    },
}

/// A loaded inode.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inode {
    /// Inode number.
    pub nid: u64,
    /// Location of the inode.
    pub place: MetadataAddress,
    /// On-disk form.
    pub version: Version,
    /// Data layout.
    pub layout: Layout,
    /// The directory has no `.` entry.
    pub dot_omitted: bool,
    /// i_xattr_icount.
    pub xattr_count: u16,
    /// File type.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub nlink: u32,
    /// Size in bytes, below 2^63.
    pub size: u64,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
}

impl Inode {
    /// Size of the inode body in bytes.
    pub fn body(&self) -> u64 {
        match self.version {
            Version::Compact => 32,
            Version::Extended => 64,
        }
    }

    /// Size of the inline attribute area in bytes.
    pub fn xattr_bytes(&self) -> u64 {
        match u64::from(self.xattr_count) {
            0 => 0,
            n => 12 + 4 * (n - 1),
        }
    }

    /// Location of the inline attribute area.
    pub fn xattr_address(&self) -> MetadataAddress {
        self.place.plus(self.body())
    }

    /// Location of the data after the attributes: the inline tail, or (aligned) the chunk map.
    pub fn tail_address(&self) -> MetadataAddress {
        self.xattr_address().plus(self.xattr_bytes())
    }

    /// True for a link whose target the kernel reads along with the inode
    /// (docs/spec/erofs-format.md section 7).
    pub fn is_fast_symlink(&self, block_size: u64) -> bool {
        let inline = matches!(self.layout, Layout::Inline { .. });
        let used = (self.xattr_address().at - 1) % block_size + 1;
        let end = self.size.checked_add(used + self.xattr_bytes());
        self.kind == Kind::Symlink && inline && end.is_some_and(|end| end <= block_size)
    }

    /// Attributes as stat(2) shows them. An id of 2^32 - 1 is invalid, and the kernel shows its
    /// overflow id instead.
    pub fn stat(&self) -> Stat {
        let id = |id: u32| if id == u32::MAX { 65534 } else { id };
        Stat {
            kind: self.kind,
            mode: self.mode,
            uid: id(self.uid),
            gid: id(self.gid),
            rdev: self.rdev,
            size: self.size,
            nlink: self.nlink.into(),
            mtime: self.mtime,
            group: None,
        }
    }

    /// Parses a record of 64 bytes, of which a compact inode uses 32.
    pub(super) fn parse(
        nid: u64,
        place: MetadataAddress,
        record: &[u8],
        sb: &Superblock,
    ) -> Result<Self> {
        let f = Fields(record);
        let format = f.u16(0);
        let extended = format & 1 != 0;
        if format >> 5 != 0 {
            return Err(Defect::InodeFormat.fault(format!("unknown bits in i_format {format:#x}")));
        }
        let layout = format >> 1 & 7;
        if layout > 4 {
            return Err(Defect::DataLayout.fault(format!("data layout {layout}")));
        }
        let size = if extended { f.u64(8) } else { f.u32(8).into() };
        if size >> 63 != 0 {
            return Err(Defect::NegativeSize.fault(format!("i_size {size:#x} is negative")));
        }
        let raw_mode = u32::from(f.u16(4));
        let Some(kind) = Kind::from_mode(raw_mode) else {
            return Err(
                Defect::FileType.fault(format!("mode {raw_mode:#o} has an invalid file type"))
            );
        };
        if kind == Kind::Directory && size.div_ceil(sb.block_size()) > 1 << 31 {
            return Err(Defect::DirectorySize.fault(format!(
                "a directory of {size:#x} bytes has too many blocks"
            )));
        }
        let bit4 = format & 0x10 != 0;
        let one_link = bit4 && !extended && kind != Kind::Directory;
        let wide = extended || one_link;
        let (low, high) = (f.u32(16), if wide { f.u16(6) } else { 0 });
        let start = u64::from(low) | u64::from(high) << 32;
        let nowhere = if wide { 0xffff_ffff_ffff } else { 0xffff_ffff };
        let device = matches!(kind, Kind::Character | Kind::Block);
        let inode = Self {
            nid,
            place,
            version: if extended {
                Version::Extended
            } else {
                Version::Compact
            },
            layout: match layout {
                0 => Layout::Plain {
                    start: Some(start).filter(|start| *start != nowhere),
                },
                // Compressed inodes take this branch until the check that rejects them.
                1..=3 => Layout::Inline { start },
                _ => Layout::Chunks {
                    bits: (low & 0x1f) as u8,
                    indexes: low & 0x20 != 0,
                    large: low & 0x40 != 0,
                },
            },
            dot_omitted: bit4 && kind == Kind::Directory,
            xattr_count: f.u16(2),
            kind,
            mode: raw_mode & 0o7777,
            uid: if extended {
                f.u32(24)
            } else {
                f.u16(24).into()
            },
            gid: if extended {
                f.u32(28)
            } else {
                f.u16(26).into()
            },
            nlink: match (extended, one_link) {
                (true, _) => f.u32(44),
                (false, true) => 1,
                (false, false) => f.u16(6).into(),
            },
            size,
            mtime: if extended {
                (f.i64(32), f.u32(40))
            } else {
                (
                    sb.epoch.wrapping_add(f.u32(12).into()),
                    sb.fixed_nanoseconds,
                )
            },
            rdev: if device {
                ((low & 0xf_ff00) >> 8, low & 0xff | low >> 12 & 0xf_ff00)
            } else {
                (0, 0)
            },
        };
        Ok(inode)
    }
}
