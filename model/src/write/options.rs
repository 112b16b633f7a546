// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Everything about an image that is not about one node.

use crate::tree::Layout;

/// Short prefix of an extended attribute (section 9.3): index and name.
pub(super) const SHORT_PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// Where shared extended attributes go (section 9.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedXattrs {
    /// Nothing is shared.
    #[default]
    None,
    /// On the primary device.
    Primary,
    /// In the metabox (SHARED_EA_IN_METABOX); on the primary device when there is no metabox.
    Metabox,
}

/// Where the table of long prefixes goes (section 9.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixPlace {
    /// On the primary device, said by PLAIN_XATTR_PFX.
    #[default]
    Plain,
    /// In the metabox; as `Packed` when there is none.
    Metabox,
    /// In the packed inode, which is made for it; in the metabox when there is one, as the format demands.
    Packed,
    /// On the primary device because there is neither metabox nor packed inode; otherwise as `Packed`.
    Fallback,
}

/// A long prefix: a short one and the bytes that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongPrefix {
    /// Index of the short prefix: 1 `user.`, 4 `trusted.`, 6 `security.`.
    pub base: u8,
    /// What follows, 0..=255 bytes.
    pub infix: Vec<u8>,
}

/// Where an extra device's blocks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unified {
    /// Only in the device itself: no unified address.
    #[default]
    None,
    /// In the unified space, behind everything placed so far.
    Next,
    /// In the unified space from this block on, or behind everything placed so far when that is later.
    AtLeast(u64),
}

/// An extra device (section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Tag, at most 64 bytes.
    pub tag: Vec<u8>,
    /// Block of the device where the writer begins to put data.
    pub first_block: u64,
    /// Unified address.
    pub unified: Unified,
}

/// How the image is made. The default is what a small 4 KiB image of `mkfs.erofs` looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// log2 of the block size, 9..=16; a kernel mounts no block larger than its page.
    pub block_bits: u8,
    /// Base of compact inodes' mtime, seconds.
    pub epoch: i64,
    /// Nanoseconds of every compact inode's mtime.
    pub fixed_nsec: u32,
    /// Store the superblock checksum.
    pub checksum: bool,
    /// UUID.
    pub uuid: [u8; 16],
    /// Volume label.
    pub label: [u8; 16],
    /// Build time, seconds from the epoch of the image.
    pub build_time: u32,
    /// Extension slots of the superblock; a metabox makes it at least 1.
    pub ext_slots: u8,
    /// Set 48BIT and use the wide root nid and block counts.
    pub wide: bool,
    /// Block of nid 0; 0 is the start of the image, more is behind the superblock at the earliest.
    pub meta_block: u32,
    /// Blocks by which `xattr_blkaddr` is lower than the block of the first shared attribute (so ids grow).
    pub xattr_lead: u32,
    /// First block of the primary device's data; 0 for directly behind the metadata.
    pub data_block: u64,
    /// Where shared extended attributes go.
    pub shared_xattrs: SharedXattrs,
    /// Long prefixes, at most 128.
    pub prefixes: Vec<LongPrefix>,
    /// Where their table goes.
    pub prefix_place: PrefixPlace,
    /// Write name filters (XATTR_FILTER).
    pub filter: bool,
    /// Value of `xattr_filter_reserved`; not 0 makes readers ignore the filter, and the writer spoils it then.
    pub filter_reserved: u8,
    /// Extra devices in the order of their slots.
    pub devices: Vec<DeviceOptions>,
    /// Put the extra devices' data on the primary device at unified addresses instead of making blobs.
    pub flat: bool,
    /// Make a metabox whose inode has this layout.
    pub metabox: Option<Layout>,
    /// Layout of the packed inode, when prefixes need one.
    pub packed: Layout,
    /// Seed for the order of chunks on their device; `None` keeps file order.
    pub shuffle: Option<u64>,
    /// Store equal chunks once.
    pub dedupe: bool,
    /// Fill the last block behind the end of regular files with 0xa5.
    pub dirty_tails: bool,
    /// Fill reserved fields and the ignored inode number with 0x5a.
    pub dirty_reserved: bool,
    /// Leave out feature bits that no reader tests (CHUNKED_FILE, XATTR_PREFIXES, MTIME).
    pub terse_features: bool,
    /// The length of every device is a multiple of this many bytes; 0 or 1 for whole blocks only.
    pub padding: u64,
}

impl Default for ImageOptions {
    fn default() -> Self {
        ImageOptions {
            block_bits: 12,
            epoch: 0,
            fixed_nsec: 0,
            checksum: true,
            uuid: [0; 16],
            label: [0; 16],
            build_time: 0,
            ext_slots: 0,
            wide: false,
            meta_block: 0,
            xattr_lead: 0,
            data_block: 0,
            shared_xattrs: SharedXattrs::None,
            prefixes: Vec::new(),
            prefix_place: PrefixPlace::Plain,
            filter: false,
            filter_reserved: 0,
            devices: Vec::new(),
            flat: false,
            metabox: None,
            packed: Layout::plain(),
            shuffle: None,
            dedupe: false,
            dirty_tails: false,
            dirty_reserved: false,
            terse_features: false,
            padding: 4096,
        }
    }
}

impl ImageOptions {
    /// Default options with blocks of `1 << block_bits` bytes.
    pub fn with_block_bits(block_bits: u8) -> Self {
        ImageOptions {
            block_bits,
            ..ImageOptions::default()
        }
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u64 {
        1 << self.block_bits
    }

    /// What goes into reserved bytes.
    pub(super) fn filler(&self) -> u8 {
        if self.dirty_reserved {
            0x5a
        } else {
            0
        }
    }

    /// Whether the table of prefixes needs a packed inode.
    pub(super) fn has_packed(&self) -> bool {
        let wanted = matches!(
            self.prefix_place,
            PrefixPlace::Packed | PrefixPlace::Metabox
        );
        !self.prefixes.is_empty() && wanted && self.metabox.is_none()
    }

    /// Whether a block address may need more than 32 bits: judged by where areas are asked to begin.
    pub(super) fn may_exceed_32_bits(&self) -> bool {
        let far = |block: u64| block >= 1 << 31;
        far(self.data_block)
            || self.devices.iter().any(|device| {
                far(device.first_block)
                    || matches!(device.unified, Unified::AtLeast(block) if far(block))
            })
    }
}
