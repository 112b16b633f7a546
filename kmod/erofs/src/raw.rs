// SPDX-License-Identifier: GPL-2.0

//! On-disk structures and the bits of their flags.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy_derive::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Bits of `feature_compat` (docs/spec/erofs-format.md section 2.2).
pub(crate) mod compat {
    pub(crate) const SB_CHKSUM: u32 = 0x01;
    pub(crate) const XATTR_FILTER: u32 = 0x04;
    pub(crate) const SHARED_EA_IN_METABOX: u32 = 0x08;
    pub(crate) const PLAIN_XATTR_PFX: u32 = 0x10;
    pub(crate) const ISHARE_XATTRS: u32 = 0x20;
}

/// Bits of `feature_incompat` (docs/spec/erofs-format.md section 2.2).
pub(crate) mod incompat {
    pub(crate) const DEVICE_TABLE: u32 = 0x008;
    pub(crate) const FRAGMENTS: u32 = 0x020;
    pub(crate) const BIT48: u32 = 0x080;
    pub(crate) const METABOX: u32 = 0x100;
    pub(crate) const KNOWN: u32 = 0x1ff;
}

/// Superblock including its first extension slot.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SuperBlock {
    pub(crate) magic: U32,
    pub(crate) checksum: U32,
    pub(crate) feature_compat: U32,
    pub(crate) blkszbits: u8,
    pub(crate) sb_extslots: u8,
    /// Root nid of 16 bits, or bits 32-47 of the block count.
    pub(crate) root_or_blocks_hi: U16,
    pub(crate) inos: U64,
    pub(crate) epoch: I64,
    pub(crate) fixed_nsec: U32,
    pub(crate) blocks_lo: U32,
    pub(crate) meta_blkaddr: U32,
    pub(crate) xattr_blkaddr: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
    pub(crate) feature_incompat: U32,
    pub(crate) compression: U16,
    pub(crate) extra_devices: U16,
    pub(crate) devt_slotoff: U16,
    pub(crate) dirblkbits: u8,
    pub(crate) xattr_prefix_count: u8,
    pub(crate) xattr_prefix_start: U32,
    pub(crate) packed_nid: U64,
    pub(crate) xattr_filter_reserved: u8,
    pub(crate) ishare_xattr_prefix_id: u8,
    pub(crate) reserved: [u8; 2],
    pub(crate) build_time: U32,
    pub(crate) rootnid_8b: U64,
    pub(crate) reserved2: [u8; 8],
    /// First extension slot; invalid if `sb_extslots` is 0.
    pub(crate) metabox_nid: U64,
    pub(crate) reserved3: [u8; 8],
}

/// Slot of the device table, 128 bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceSlot {
    pub(crate) tag: [u8; 64],
    pub(crate) blocks_lo: U32,
    pub(crate) uniaddr_lo: U32,
    pub(crate) blocks_hi: U16,
    pub(crate) uniaddr_hi: U16,
    pub(crate) reserved: [u8; 52],
}

/// Bits of `i_format` (docs/spec/erofs-format.md section 4.1).
pub(crate) mod format {
    pub(crate) const EXTENDED: u16 = 1;
    pub(crate) const LAYOUT_SHIFT: u32 = 1;
    pub(crate) const LAYOUT_MASK: u16 = 7;
    /// `DOT_OMITTED` of a directory, `NLINK_1` of any other compact inode.
    pub(crate) const BIT4: u16 = 0x10;
    pub(crate) const KNOWN: u16 = 0x1f;
}

/// Bits of the chunk format (docs/spec/erofs-format.md section 5.4).
pub(crate) mod chunk {
    /// Log2 of the number of blocks in a chunk.
    pub(crate) const BITS_MASK: u16 = 0x1f;
    /// Records are 8 bytes with a device id.
    pub(crate) const INDEXES: u16 = 0x20;
    /// Records carry 48-bit block addresses.
    pub(crate) const BIT48: u16 = 0x40;
    pub(crate) const KNOWN: u16 = 0x7f;
}

/// File types in `i_mode`.
pub(crate) mod mode {
    pub(crate) const MASK: u16 = 0o170_000;
    pub(crate) const FIFO: u16 = 0o010_000;
    pub(crate) const CHR: u16 = 0o020_000;
    pub(crate) const DIR: u16 = 0o040_000;
    pub(crate) const BLK: u16 = 0o060_000;
    pub(crate) const REG: u16 = 0o100_000;
    pub(crate) const LNK: u16 = 0o120_000;
    pub(crate) const SOCK: u16 = 0o140_000;
}

/// Compact inode, 32 bytes. An extended inode has the same fields up to `u`, except for its wider
/// size.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Compact {
    pub(crate) format: U16,
    pub(crate) xattr_icount: U16,
    pub(crate) mode: U16,
    /// Link count, or bits 32-47 of the start block.
    pub(crate) nb: U16,
    pub(crate) size: U32,
    pub(crate) mtime: U32,
    /// Start block, device number, or chunk format.
    pub(crate) u: U32,
    pub(crate) ino: U32,
    pub(crate) uid: U16,
    pub(crate) gid: U16,
    pub(crate) reserved: U32,
}

/// First 32 bytes of an extended inode.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ExtendedHead {
    pub(crate) format: U16,
    pub(crate) xattr_icount: U16,
    pub(crate) mode: U16,
    pub(crate) nb: U16,
    pub(crate) size: U64,
    pub(crate) u: U32,
    pub(crate) ino: U32,
    pub(crate) uid: U32,
    pub(crate) gid: U32,
}

/// Last 32 bytes of an extended inode.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ExtendedTail {
    pub(crate) mtime: I64,
    pub(crate) mtime_nsec: U32,
    pub(crate) nlink: U32,
    pub(crate) reserved: [u8; 16],
}

/// Directory entry without its name (docs/spec/erofs-format.md section 6).
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Dirent {
    pub(crate) nid: U64,
    pub(crate) nameoff: U16,
    pub(crate) file_type: u8,
    _reserved: u8,
}
