// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Options of an image as a whole.

use crate::tree::Layout;

/// Short prefixes of extended attributes: index and name (docs/spec/erofs-format.md section 9.3).
pub(super) const SHORT_PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// Location of shared extended attributes (docs/spec/erofs-format.md section 9.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedXattrs {
    /// No sharing.
    #[default]
    None,
    /// On the primary device.
    Primary,
    /// In the metabox (SHARED_EA_IN_METABOX), or on the primary device without a metabox.
    Metabox,
}

/// Location of the long prefix table (docs/spec/erofs-format.md section 9.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixPlace {
    /// On the primary device (PLAIN_XATTR_PFX).
    #[default]
    Plain,
    /// In the metabox; without one as `Packed`.
    Metabox,
    /// In a packed inode created for it; in the metabox if there is one, as the format demands.
    Packed,
    /// On the primary device if there is neither metabox nor packed inode; otherwise as `Packed`.
    Fallback,
}

/// A long prefix: a short prefix and an infix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongPrefix {
    /// Index of the short prefix: 1 `user.`, 4 `trusted.`, 6 `security.`.
    pub base: u8,
    /// Infix of 0..=255 bytes.
    pub infix: Vec<u8>,
}

/// Address of an extra device in the unified space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unified {
    /// No unified address.
    #[default]
    None,
    /// After everything placed so far.
    Next,
    /// At this block, or after everything placed so far if that is later.
    AtLeast(u64),
}

/// An extra device (docs/spec/erofs-format.md section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Tag, at most 64 bytes.
    pub tag: Vec<u8>,
    /// First block of the device that the writer uses.
    pub first_block: u64,
    /// Unified address.
    pub unified: Unified,
}

/// Options of the writer. The default resembles a small 4 KiB image of `mkfs.erofs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// log2 of the block size, 9..=16. Kernels do not mount blocks larger than a page.
    pub block_bits: u8,
    /// Base of compact inodes' mtime, seconds.
    pub epoch: i64,
    /// Nanoseconds of every compact inode's mtime.
    pub fixed_nsec: u32,
    /// SparseBytes the superblock checksum.
    pub checksum: bool,
    /// UUID.
    pub uuid: [u8; 16],
    /// Volume label.
    pub label: [u8; 16],
    /// Build time, seconds from the epoch of the image.
    pub build_time: u32,
    /// Extension slots of the superblock; at least 1 with a metabox.
    pub ext_slots: u8,
    /// Set 48BIT and use the wide root nid and block counts.
    pub wide: bool,
    /// Block of nid 0; 0 is the start of the image, other values are raised to the end of the
    /// superblock.
    pub meta_block: u32,
    /// Difference by which `xattr_blkaddr` is below the block of the first shared attribute, to
    /// make ids larger.
    pub xattr_lead: u32,
    /// First block of the primary device's data; 0 for directly after the metadata.
    pub data_block: u64,
    /// Location of shared extended attributes.
    pub shared_xattrs: SharedXattrs,
    /// Long prefixes, at most 128.
    pub prefixes: Vec<LongPrefix>,
    /// Location of their table.
    pub prefix_place: PrefixPlace,
    /// Write name filters (XATTR_FILTER).
    pub filter: bool,
    /// Value of `xattr_filter_reserved`. If not 0, readers must ignore the filter, and the writer
    /// stores a wrong one.
    pub filter_reserved: u8,
    /// Extra devices in slot order.
    pub devices: Vec<DeviceOptions>,
    /// Put the data of extra devices on the primary device at unified addresses.
    pub flat: bool,
    /// Create a metabox whose inode has this layout.
    pub metabox: Option<Layout>,
    /// Layout of the packed inode, if prefixes need one.
    pub packed: Layout,
    /// Seed for the order of chunks on their device; `None` for file order.
    pub shuffle: Option<u64>,
    /// SparseBytes equal chunks once.
    pub dedupe: bool,
    /// Fill the last block beyond the end of regular files with 0xa5.
    pub dirty_tails: bool,
    /// Fill reserved fields and the ignored inode number with 0x5a.
    pub dirty_reserved: bool,
    /// Omit feature bits that no reader tests (CHUNKED_FILE, XATTR_PREFIXES, MTIME).
    pub terse_features: bool,
    /// Round the length of every device up to this many bytes; 0 or 1 for whole blocks only.
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

    /// Value of reserved bytes.
    pub(super) fn filler(&self) -> u8 {
        if self.dirty_reserved {
            0x5a
        } else {
            0
        }
    }

    /// True if the prefix table needs a packed inode.
    pub(super) fn has_packed(&self) -> bool {
        let wanted = matches!(
            self.prefix_place,
            PrefixPlace::Packed | PrefixPlace::Metabox
        );
        !self.prefixes.is_empty() && wanted && self.metabox.is_none()
    }

    /// True if a block address may need more than 32 bits, judged by the requested start of areas.
    pub(super) fn may_exceed_32_bits(&self) -> bool {
        let far = |block: u64| block >= 1 << 31;
        far(self.data_block)
            || self.devices.iter().any(|device| {
                far(device.first_block)
                    || matches!(device.unified, Unified::AtLeast(block) if far(block))
            })
    }
}
