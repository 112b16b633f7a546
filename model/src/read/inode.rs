// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Inodes (section 4), checked in the kernel's order.

use super::fields::Fields;
use super::{Image, Place, Result, Superblock};
use crate::observation::{Kind, Stat};
use crate::strictness::Defect;

/// The two forms of an inode on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// 32 bytes.
    Compact,
    /// 64 bytes.
    Extended,
}

/// How an inode's data is laid out (section 5). A compressed inode does not load, so it has no layout here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One run of blocks; `None` is a hole as long as the file.
    Plain {
        /// First block.
        start: Option<u64>,
    },
    /// One run of blocks, and a tail right after the inode's attributes.
    Inline {
        /// First block of the run.
        start: u64,
    },
    /// A map of chunks.
    Chunks {
        /// log2 of the chunk size in blocks.
        bits: u8,
        /// 8-byte records with device ids, rather than 4-byte ones.
        indexes: bool,
        /// Block numbers of 48 bits.
        large: bool,
    },
}

/// A loaded inode.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inode {
    /// Its number.
    pub nid: u64,
    /// Where it begins.
    pub place: Place,
    /// Its form.
    pub version: Version,
    /// Its data layout.
    pub layout: Layout,
    /// A directory without an entry for itself.
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
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
}

impl Inode {
    /// Bytes of the inode itself.
    pub fn body(&self) -> u64 {
        match self.version {
            Version::Compact => 32,
            Version::Extended => 64,
        }
    }

    /// Bytes of the inline attribute area.
    pub fn xattr_bytes(&self) -> u64 {
        match u64::from(self.xattr_count) {
            0 => 0,
            n => 12 + 4 * (n - 1),
        }
    }

    /// Where the inline attribute area begins.
    pub fn xattr_place(&self) -> Place {
        self.place.plus(self.body())
    }

    /// What follows the attributes: the inline tail, or (aligned) the chunk map.
    pub fn tail_place(&self) -> Place {
        self.xattr_place().plus(self.xattr_bytes())
    }

    /// A link whose target the kernel reads with the inode (section 7).
    pub fn is_fast_symlink(&self, block_size: u64) -> bool {
        let inline = matches!(self.layout, Layout::Inline { .. });
        let used = (self.xattr_place().at - 1) % block_size + 1;
        let end = self.size.checked_add(used + self.xattr_bytes());
        self.kind == Kind::Symlink && inline && end.is_some_and(|end| end <= block_size)
    }

    /// What stat(2) shows. An id of 2^32 - 1 is no id: the kernel shows its overflow id instead.
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

    fn parse(nid: u64, place: Place, record: &[u8], sb: &Superblock) -> Result<Self> {
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
            return Err(Defect::FileType.fault(format!("mode {raw_mode:#o} is of no file type")));
        };
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
                // Compressed inodes pass here for as long as the checks before theirs take.
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

impl Image {
    /// Loads an inode.
    ///
    /// # Errors
    /// The first check of 4.4 that fails.
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        self.load(nid)
            .map_err(|fault| fault.of(&format!("inode {nid:#x}")))
    }

    fn load(&self, nid: u64) -> Result<Inode> {
        let place = self.place_of(nid)?;
        let mut record = self.metadata(place, 32)?;
        if record[0] & 1 != 0 && record[1] == 0 && record[0] >> 5 == 0 {
            record = self.metadata(place, 64)?;
        } else {
            record.resize(64, 0);
        }
        let inode = Inode::parse(nid, place, &record, &self.sb)?;
        let layout = record[0] >> 1 & 7;
        if layout == 2 && inode.is_fast_symlink(self.sb.block_size()) {
            let target = self.metadata(inode.tail_place(), inode.size)?;
            if target.is_empty() || target.contains(&0) {
                return Err(
                    Defect::FastSymlink.fault("the inline link target is empty or holds a NUL")
                );
            }
        }
        if layout == 1 || layout == 3 {
            return Err(Defect::Compressed
                .fault("its data is compressed; use an image without compression"));
        }
        let chunk_format = Fields(&record).u16(16);
        if layout == 4 && chunk_format >> 7 != 0 {
            return Err(Defect::ChunkFormat
                .fault(format!("unknown bits in chunk format {chunk_format:#x}")));
        }
        Ok(inode)
    }
}
