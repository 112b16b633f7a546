// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The superblock (docs/spec/erofs-format.md section 2), checked in the kernel's order.

use super::device_bytes::{holds, DeviceBytes};
use super::fields::Fields;
use super::{Fault, Result};
use crate::strictness::Defect;

/// Byte offset of the superblock on the primary device.
pub(super) const OFFSET: u64 = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const BASE: u64 = 128;

/// Bits of feature_compat (docs/spec/erofs-format.md section 2.2).
pub(super) mod compat {
    pub(in crate::read) const CHECKSUM: u32 = 0x01;
    pub(in crate::read) const XATTR_FILTER: u32 = 0x04;
    pub(in crate::read) const SHARED_XATTRS_IN_METABOX: u32 = 0x08;
    pub(in crate::read) const PLAIN_PREFIXES: u32 = 0x10;
    pub(in crate::read) const SHARE_XATTRS: u32 = 0x20;
}

/// Bits of feature_incompat (docs/spec/erofs-format.md section 2.2).
pub(super) mod incompat {
    pub(in crate::read) const CHUNKED_FILE: u32 = 0x04;
    pub(in crate::read) const DEVICE_TABLE: u32 = 0x08;
    pub(in crate::read) const FRAGMENTS: u32 = 0x20;
    pub(in crate::read) const XATTR_PREFIXES: u32 = 0x40;
    pub(in crate::read) const LARGE: u32 = 0x80;
    pub(in crate::read) const METABOX: u32 = 0x100;
    pub(in crate::read) const KNOWN: u32 = 0x1ff;
}

/// Values of the superblock, with 48-bit halves joined and absent features resolved.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Superblock {
    /// Features that a reader may ignore.
    pub feature_compat: u32,
    /// Features that a reader must know.
    pub feature_incompat: u32,
    /// Stored checksum; valid only with its feature bit.
    pub checksum: u32,
    /// log2 of the block size.
    pub block_bits: u8,
    /// Bytes of the superblock, extension slots included.
    pub size: u64,
    /// nid of the root directory.
    pub root_nid: u64,
    /// Number of inodes, for statfs.
    pub inodes: u64,
    /// Base of compact inodes' mtime, in seconds.
    pub epoch: i64,
    /// Nanoseconds of every compact inode's mtime.
    pub fixed_nanoseconds: u32,
    /// Blocks of the primary device, for statfs.
    pub blocks: u64,
    /// Block of nid 0.
    pub meta_block: u32,
    /// Block of shared attribute 0.
    pub xattr_block: u32,
    /// UUID; all zero for none.
    pub uuid: [u8; 16],
    /// Label, padded with NUL.
    pub volume: [u8; 16],
    /// Compression algorithms, or the LZ4 distance (offset 84).
    pub compression: u16,
    /// Slots of the device table; 0 without the feature.
    pub extra_devices: u16,
    /// Byte offset of the device table.
    pub device_table: u64,
    /// Number of long xattr prefixes.
    pub prefix_count: u8,
    /// Byte offset of the prefix table, in the space selected by docs/spec/erofs-format.md section
    /// 9.4.
    pub prefix_start: u64,
    /// The packed inode, if the image has one.
    pub packed_nid: Option<u64>,
    /// The metabox inode, if the image has one.
    pub metabox_nid: Option<u64>,
    /// True if the attribute name filter may be used.
    pub xattr_filter: bool,
}

impl Superblock {
    /// Reads and checks the superblock (docs/spec/erofs-format.md section 2.5, checks 1 to 9).
    /// `page_size` in bytes bounds the block size and the superblock.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn read(primary: &dyn DeviceBytes, page_size: u64) -> Result<Self> {
        let base = bytes(primary, OFFSET, BASE)?;
        let f = Fields(&base);
        let refuse = |defect: Defect, why: String| Err(defect.fault(why));
        if f.u32(0) != MAGIC {
            return refuse(
                Defect::Magic,
                format!(
                    "magic is {:#010x}, not {MAGIC:#010x}: not an EROFS image",
                    f.u32(0)
                ),
            );
        }
        let block_bits = f.u8(12);
        if block_bits < 9 || u32::from(block_bits) > page_size.ilog2() {
            return refuse(Defect::BlockSize, format!("blocks of 2^{block_bits} bytes"));
        }
        if f.u8(90) != 0 {
            return refuse(
                Defect::DirectoryBlockSize,
                format!("directory block bits {}", f.u8(90)),
            );
        }
        let feature_compat = f.u32(8);
        if feature_compat & compat::CHECKSUM != 0 {
            let found = checksum(primary, 1 << block_bits)?;
            if found != f.u32(4) {
                let why = format!(
                    "checksum is {found:#010x}, the superblock says {:#010x}",
                    f.u32(4)
                );
                return refuse(Defect::Checksum, why);
            }
        }
        let feature_incompat = f.u32(80);
        if feature_incompat & !incompat::KNOWN != 0 {
            let unknown = feature_incompat & !incompat::KNOWN;
            return refuse(
                Defect::IncompatibleFeature,
                format!("unknown feature bits {unknown:#x}"),
            );
        }
        let size = BASE + 16 * u64::from(f.u8(13));
        if size > page_size - OFFSET {
            return refuse(
                Defect::SuperblockSize,
                format!("a superblock of {size} bytes leaves its page"),
            );
        }
        let prefix_count = f.u8(91);
        if feature_compat & compat::SHARE_XATTRS != 0 && f.u8(105) >= prefix_count {
            let why = format!("share prefix {} of {prefix_count} prefixes", f.u8(105));
            return refuse(Defect::SharePrefix, why);
        }
        let has = |bit: u32| feature_incompat & bit != 0;
        let metabox_nid = if has(incompat::METABOX) {
            Some(metabox_nid(primary, size)?)
        } else {
            None
        };
        let large = has(incompat::LARGE) && f.u64(112) != 0;
        Ok(Self {
            feature_compat,
            feature_incompat,
            checksum: f.u32(4),
            block_bits,
            size,
            root_nid: if large { f.u64(112) } else { f.u16(14).into() },
            inodes: f.u64(16),
            epoch: f.i64(24),
            fixed_nanoseconds: f.u32(32),
            blocks: u64::from(f.u32(36)) | if large { u64::from(f.u16(14)) << 32 } else { 0 },
            meta_block: f.u32(40),
            xattr_block: f.u32(44),
            uuid: f.bytes(48),
            volume: f.bytes(64),
            compression: f.u16(84),
            extra_devices: if has(incompat::DEVICE_TABLE) {
                f.u16(86)
            } else {
                0
            },
            device_table: u64::from(f.u16(88)) * 128,
            prefix_count,
            prefix_start: u64::from(f.u32(92)) * 4,
            packed_nid: Some(f.u64(96)).filter(|nid| has(incompat::FRAGMENTS) && *nid != 0),
            metabox_nid,
            xattr_filter: feature_compat & compat::XATTR_FILTER != 0 && f.u8(104) == 0,
        })
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u64 {
        1 << self.block_bits
    }

    /// True if the feature bit of chunk-based files is set. No reader needs it.
    pub fn has_chunks(&self) -> bool {
        self.has(incompat::CHUNKED_FILE)
    }

    /// True if the feature bit of long prefixes is set. No reader needs it.
    pub fn has_long_prefixes(&self) -> bool {
        self.has(incompat::XATTR_PREFIXES)
    }

    pub(super) fn has(&self, incompat: u32) -> bool {
        self.feature_incompat & incompat != 0
    }
}

fn metabox_nid(primary: &dyn DeviceBytes, size: u64) -> Result<u64> {
    if size <= BASE {
        return Err(Defect::MetaboxAbsent
            .fault("the image has a metabox, its superblock has no room for the nid"));
    }
    let nid = Fields(&bytes(primary, OFFSET + BASE, 8)?).u64(0);
    if nid >> 63 != 0 {
        return Err(
            Defect::MetaboxInMetabox.fault(format!("metabox nid {nid:#x} is in the metabox"))
        );
    }
    Ok(nid)
}

/// Computes the checksum of docs/spec/erofs-format.md section 2.3, which omits the usual final
/// inversion.
fn checksum(primary: &dyn DeviceBytes, block_size: u64) -> Result<u32> {
    let covered = if block_size > OFFSET {
        block_size - OFFSET
    } else {
        block_size
    };
    let mut hashed = bytes(primary, OFFSET, covered)?;
    hashed[4..8].fill(0);
    Ok(!crc32c::crc32c(&hashed))
}

fn bytes(primary: &dyn DeviceBytes, at: u64, len: u64) -> Result<Vec<u8>> {
    if !holds(primary, at, len) {
        let why = format!(
            "the image has {} bytes, its superblock needs {}",
            primary.len(),
            at + len
        );
        return Err(Defect::ImageTooShort.fault(why));
    }
    let mut out = vec![0; len as usize];
    let failed = |errno| Fault::other(errno, "the superblock cannot be read");
    primary.read_at(at, &mut out).map_err(failed)?;
    Ok(out)
}
