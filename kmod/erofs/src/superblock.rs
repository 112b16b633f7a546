// SPDX-License-Identifier: GPL-2.0

//! Superblock: locations and features of an image (docs/spec/erofs-format.md section 2).

use zerocopy::FromBytes as _;

use crate::raw::{self, compat, incompat};
use crate::{checksum, Defect, DeviceSlot, Space};

/// Byte offset of the superblock on the primary device.
const OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// Size without extension slots, in bytes.
const BASE_SIZE: u32 = 128;
/// Size of one extension slot, in bytes.
const EXT_SLOT_SIZE: u32 = 16;
/// Distance between two nids, in bytes.
const NID_SIZE: u64 = 32;
/// Bit of a nid that selects the metabox.
const NID_METABOX: u64 = 1 << 63;
/// Size of a device table slot, in bytes.
const DEVICE_SLOT_SIZE: u64 = 128;

/// Most device slots of an image that is mounted on demand. Images have one for each layer, or a few.
const MAX_ON_DEMAND_DEVICES: u16 = 1024;

/// Location of the long prefix table (docs/spec/erofs-format.md section 9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLocation {
    /// Space of the table.
    pub space: Space,
    /// Byte offset of the first record in the space.
    pub offset: u64,
    /// Number of records, 1 to 255.
    pub count: u8,
}

/// Values for `statfs(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// Block size in bytes.
    pub block_size: u32,
    /// Number of blocks of the primary and all extra devices. None is free.
    pub blocks: u64,
    /// Number of inodes.
    pub inos: u64,
    /// Maximum name length, in bytes.
    pub name_max: u32,
}

/// A superblock that passed every check that needs no other part of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperBlock {
    root_nid: u64,
    packed_nid: u64,
    metabox_nid: u64,
    blocks: u64,
    inos: u64,
    epoch: i64,
    meta_offset: u64,
    xattr_offset: u64,
    uuid: [u8; 16],
    volume_name: [u8; 16],
    fixed_nsec: u32,
    feature_compat: u32,
    feature_incompat: u32,
    xattr_prefix_start: u32,
    size: u32,
    extra_devices: u16,
    devt_slotoff: u16,
    xattr_prefix_count: u8,
    ishare_prefix: u8,
    block_bits: u8,
    filter_reserved: u8,
}

impl SuperBlock {
    /// Parses the superblock from the first `page_size` bytes of an image.
    ///
    /// `page_size` is a power of two of at least 4096; `first_page` may be shorter if the image is.
    /// Performs checks 2 to 9 of docs/spec/erofs-format.md section 2.5 in that order. Features that
    /// only affect compression never fail.
    ///
    /// # Errors
    ///
    /// [`Defect::ImageTooShort`] if a required byte is missing, otherwise the first check that
    /// fails.
    pub fn parse(first_page: &[u8], page_size: u32) -> Result<Self, Defect> {
        let body = first_page.get(OFFSET..).ok_or(Defect::ImageTooShort)?;
        let (raw, _) = raw::SuperBlock::ref_from_prefix(body).map_err(|_| Defect::ImageTooShort)?;

        if raw.magic.get() != MAGIC {
            return Err(Defect::BadMagic);
        }
        let page_bits = page_size.checked_ilog2().unwrap_or(0);
        if !(9..=page_bits).contains(&u32::from(raw.blkszbits)) {
            return Err(Defect::BlockSize);
        }
        if raw.dirblkbits != 0 {
            return Err(Defect::DirBlockSize);
        }
        let compat = raw.feature_compat.get();
        if compat & compat::SB_CHKSUM != 0 {
            check_sum(raw, body)?;
        }
        let incompat = raw.feature_incompat.get();
        if incompat & !incompat::KNOWN != 0 {
            return Err(Defect::UnknownFeature);
        }
        // At most 128 + 16 * 255.
        let size = u32::from(raw.sb_extslots)
            .wrapping_mul(EXT_SLOT_SIZE)
            .wrapping_add(BASE_SIZE);
        if size > page_size.saturating_sub(OFFSET as u32) {
            return Err(Defect::SuperTooLong);
        }
        if compat & compat::ISHARE_XATTRS != 0
            && raw.ishare_xattr_prefix_id >= raw.xattr_prefix_count
        {
            return Err(Defect::SharePrefix);
        }
        let metabox_nid = raw.metabox_nid.get();
        if incompat & incompat::METABOX != 0 {
            if size == BASE_SIZE {
                return Err(Defect::MetaboxNoSlot);
            }
            if metabox_nid & NID_METABOX != 0 {
                return Err(Defect::MetaboxNested);
            }
        }
        let packed_nid = raw.packed_nid.get();
        if incompat & incompat::FRAGMENTS != 0 && packed_nid & NID_METABOX != 0 {
            return Err(Defect::PackedInMetabox);
        }
        Ok(Self::from_raw(raw, size))
    }

    /// Extracts the fields from checked bytes.
    fn from_raw(raw: &raw::SuperBlock, size: u32) -> Self {
        let incompat = raw.feature_incompat.get();
        let blocks_lo = u64::from(raw.blocks_lo.get());
        let root_or_hi = u64::from(raw.root_or_blocks_hi.get());
        let wide = incompat & incompat::BIT48 != 0 && raw.rootnid_8b.get() != 0;
        let (root_nid, blocks) = if wide {
            (raw.rootnid_8b.get(), blocks_lo | root_or_hi << 32)
        } else {
            (root_or_hi, blocks_lo)
        };
        let bits = u32::from(raw.blkszbits);
        let has_devices = incompat & incompat::DEVICE_TABLE != 0;
        Self {
            root_nid,
            packed_nid: raw.packed_nid.get(),
            metabox_nid: raw.metabox_nid.get(),
            blocks,
            inos: raw.inos.get(),
            epoch: raw.epoch.get(),
            // 32-bit block numbers and blocks of at most 2^16 bytes: no overflow.
            meta_offset: u64::from(raw.meta_blkaddr.get()).wrapping_shl(bits),
            xattr_offset: u64::from(raw.xattr_blkaddr.get()).wrapping_shl(bits),
            uuid: raw.uuid,
            volume_name: raw.volume_name,
            fixed_nsec: raw.fixed_nsec.get(),
            feature_compat: raw.feature_compat.get(),
            feature_incompat: incompat,
            xattr_prefix_start: raw.xattr_prefix_start.get(),
            size,
            extra_devices: if has_devices {
                raw.extra_devices.get()
            } else {
                0
            },
            devt_slotoff: raw.devt_slotoff.get(),
            xattr_prefix_count: raw.xattr_prefix_count,
            ishare_prefix: raw.ishare_xattr_prefix_id,
            block_bits: raw.blkszbits,
            filter_reserved: raw.xattr_filter_reserved,
        }
    }

    /// Log2 of the block size: from 9 to log2 of the page size.
    #[inline]
    pub fn block_bits(&self) -> u32 {
        u32::from(self.block_bits)
    }

    /// Block size in bytes.
    #[inline]
    pub fn block_size(&self) -> u32 {
        1u32.wrapping_shl(self.block_bits())
    }

    /// Mask of a byte's offset within its block.
    #[inline]
    pub(crate) fn block_mask(&self) -> u64 {
        u64::from(self.block_size()).wrapping_sub(1)
    }

    /// Rounds `offset` up to a block; `None` if the result exceeds 64 bits.
    #[inline]
    pub(crate) fn round_up(&self, offset: u64) -> Option<u64> {
        let mask = self.block_mask();
        Some(offset.checked_add(mask)? & !mask)
    }

    /// Nid of the root directory.
    #[inline]
    pub fn root_nid(&self) -> u64 {
        self.root_nid
    }

    /// Nid of the packed inode, if the image has one.
    ///
    /// The C driver fails the mount if that inode does not load; a reader without
    /// compression needs it only if [`Self::prefix_location`] points into it.
    #[inline]
    pub fn packed_nid(&self) -> Option<u64> {
        let named = self.has_incompat(incompat::FRAGMENTS) && self.packed_nid != 0;
        named.then_some(self.packed_nid)
    }

    /// Nid of the metabox inode, if the image has one. Bit 63 is clear.
    #[inline]
    pub fn metabox_nid(&self) -> Option<u64> {
        self.has_metabox().then_some(self.metabox_nid)
    }

    /// True if the image has a metabox.
    #[inline]
    pub fn has_metabox(&self) -> bool {
        self.has_incompat(incompat::METABOX)
    }

    /// Number of blocks of the primary device. For `statfs` only, not a bound.
    #[inline]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Number of inodes. For `statfs` only.
    #[inline]
    pub fn inos(&self) -> u64 {
        self.inos
    }

    /// Base of compact inodes' mtime, in seconds since 1970.
    #[inline]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Nanoseconds of every compact inode's mtime; may be 10^9 or more.
    #[inline]
    pub fn fixed_nsec(&self) -> u32 {
        self.fixed_nsec
    }

    /// UUID; `None` if it is all zero.
    #[inline]
    pub fn uuid(&self) -> Option<&[u8; 16]> {
        self.uuid.iter().any(|b| *b != 0).then_some(&self.uuid)
    }

    /// Volume label up to its first NUL, 0 to 16 bytes.
    #[inline]
    pub fn label(&self) -> &[u8] {
        let mut parts = self.volume_name.split(|b| *b == 0);
        parts.next().unwrap_or_default()
    }

    /// Size of the superblock including extension slots, in bytes.
    #[inline]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// `feature_compat`, for display.
    #[inline]
    pub fn feature_compat(&self) -> u32 {
        self.feature_compat
    }

    /// `feature_incompat`, for display. No unknown bit is set.
    #[inline]
    pub fn feature_incompat(&self) -> u32 {
        self.feature_incompat
    }

    /// Number of slots in the device table.
    #[inline]
    pub fn extra_devices(&self) -> u16 {
        self.extra_devices
    }

    /// Checks the number of devices given at mount: none if the primary device holds all data,
    /// otherwise one per slot.
    ///
    /// # Errors
    ///
    /// [`Defect::DeviceCount`].
    pub fn check_device_count(&self, given: usize) -> Result<(), Defect> {
        if given == 0 || given == usize::from(self.extra_devices) {
            Ok(())
        } else {
            Err(Defect::DeviceCount)
        }
    }

    /// Checks the number of slots for an on-demand mount, on which each of them is a file of the
    /// cache and a request to the daemon, whatever the mount options.
    ///
    /// # Errors
    ///
    /// [`Defect::TooManyDevices`].
    pub fn check_on_demand_devices(&self) -> Result<(), Defect> {
        if self.extra_devices <= MAX_ON_DEMAND_DEVICES {
            Ok(())
        } else {
            Err(Defect::TooManyDevices)
        }
    }

    /// Byte offset on the primary device of the slot of device id `index + 1`; `None` beyond the
    /// last slot. A slot has 128 bytes.
    pub fn device_slot_offset(&self, index: u16) -> Option<u64> {
        if index >= self.extra_devices {
            return None;
        }
        let slot = u64::from(self.devt_slotoff).checked_add(u64::from(index))?;
        slot.checked_mul(DEVICE_SLOT_SIZE)
    }

    /// Mask of the valid bits of a chunk index's device id (docs/spec/erofs-format.md section 3).
    #[inline]
    pub fn device_id_mask(&self) -> u16 {
        // One less than the next power of two above the highest id.
        u16::MAX
            .checked_shr(self.extra_devices.leading_zeros())
            .unwrap_or(0)
    }

    /// Parses the bytes at [`Self::device_slot_offset`].
    pub fn device_slot(&self, bytes: &[u8; 128]) -> DeviceSlot {
        DeviceSlot::parse(bytes, self.has_incompat(incompat::BIT48))
    }

    /// Location of inode `nid` (docs/spec/erofs-format.md section 1).
    ///
    /// # Errors
    ///
    /// [`Defect::NoMetabox`] if bit 63 is set and the image has no metabox, [`Defect::NidOverflow`]
    /// if the offset exceeds 64 bits (the C driver wraps).
    #[inline]
    pub fn nid_location(&self, nid: u64) -> Result<(Space, u64), Defect> {
        let (space, base) = if nid & NID_METABOX == 0 {
            (Space::Primary, self.meta_offset)
        } else if self.has_metabox() {
            (Space::Metabox, 0)
        } else {
            return Err(Defect::NoMetabox);
        };
        let low = nid & !NID_METABOX;
        let offset = low.checked_mul(NID_SIZE).ok_or(Defect::NidOverflow)?;
        let offset = base.checked_add(offset).ok_or(Defect::NidOverflow)?;
        Ok((space, offset))
    }

    /// Inode number shown to user space for `nid` (docs/spec/erofs-format.md section 1).
    #[inline]
    pub fn ino(&self, nid: u64) -> u64 {
        if !self.has_metabox() {
            return nid;
        }
        ((nid << 1) & (u64::MAX << 32)) | (nid & 0x7fff_ffff) | ((nid >> 63) << 31)
    }

    /// Space of the shared attributes, and the byte offset of id 0.
    ///
    /// # Errors
    ///
    /// [`Defect::NoMetabox`] if they are in a metabox that does not exist.
    pub fn shared_xattrs(&self) -> Result<(Space, u64), Defect> {
        if self.feature_compat & compat::SHARED_EA_IN_METABOX == 0 {
            Ok((Space::Primary, self.xattr_offset))
        } else if self.has_metabox() {
            Ok((Space::Metabox, self.xattr_offset))
        } else {
            Err(Defect::NoMetabox)
        }
    }

    /// Location of the long attribute prefixes; `None` without any.
    pub fn prefix_location(&self) -> Option<PrefixLocation> {
        if self.xattr_prefix_count == 0 {
            return None;
        }
        let space = if self.feature_compat & compat::PLAIN_XATTR_PFX != 0 {
            Space::Primary
        } else if self.has_metabox() {
            Space::Metabox
        } else if self.packed_nid().is_some() {
            Space::Packed
        } else {
            Space::Primary
        };
        Some(PrefixLocation {
            space,
            offset: u64::from(self.xattr_prefix_start) << 2,
            count: self.xattr_prefix_count,
        })
    }

    /// True if the name filters of inodes are valid (docs/spec/erofs-format.md section 9.3).
    #[inline]
    pub fn has_xattr_filter(&self) -> bool {
        self.feature_compat & compat::XATTR_FILTER != 0 && self.filter_reserved == 0
    }

    /// Prefix of the attribute that holds content fingerprints, if any.
    pub fn share_prefix(&self) -> Option<u8> {
        (self.feature_compat & compat::ISHARE_XATTRS != 0).then_some(self.ishare_prefix)
    }

    /// Values for `statfs(2)`. `slots` is the device table.
    pub fn statfs(&self, slots: &[DeviceSlot]) -> StatFs {
        StatFs {
            block_size: self.block_size(),
            blocks: slots
                .iter()
                .fold(self.blocks, |sum, slot| sum.saturating_add(slot.blocks)),
            inos: self.inos,
            name_max: 255,
        }
    }

    #[inline]
    fn has_incompat(&self, bit: u32) -> bool {
        self.feature_incompat & bit != 0
    }
}

/// Compares the checksum with the bytes it covers (docs/spec/erofs-format.md section 2.3).
fn check_sum(raw: &raw::SuperBlock, body: &[u8]) -> Result<(), Defect> {
    let block = 1usize.wrapping_shl(u32::from(raw.blkszbits));
    let length = match block.checked_sub(OFFSET) {
        None | Some(0) => block,
        Some(length) => length,
    };
    let covered = body.get(8..length).ok_or(Defect::ImageTooShort)?;
    if checksum::crc32c(checksum::SEED, covered) == raw.checksum.get() {
        Ok(())
    } else {
        Err(Defect::SuperChecksum)
    }
}
