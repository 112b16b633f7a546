// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The superblock, the device table and the plain prefix table (docs/spec/erofs-format.md sections
//! 2 and 3).

use super::allocate::Allocation;
use super::options::{ImageOptions, PrefixPlace, SharedXattrs};
use super::record::Record;
use super::xattr;

const MAGIC: u32 = 0xe0f5_e1e2;
/// Byte of the superblock in the image.
pub(super) const START: u64 = 1024;
const BASE: u64 = 128;
const SLOT: u64 = 128;

/// Bits of feature_compat.
mod compat {
    pub(super) const CHECKSUM: u32 = 0x1;
    pub(super) const MTIME: u32 = 0x2;
    pub(super) const FILTER: u32 = 0x4;
    pub(super) const SHARED_IN_METABOX: u32 = 0x8;
    pub(super) const PLAIN_PREFIXES: u32 = 0x10;
}

/// Bits of feature_incompat.
mod incompat {
    pub(super) const CHUNKED: u32 = 0x4;
    pub(super) const DEVICES: u32 = 0x8;
    pub(super) const FRAGMENTS: u32 = 0x20;
    pub(super) const PREFIXES: u32 = 0x40;
    pub(super) const WIDE: u32 = 0x80;
    pub(super) const METABOX: u32 = 0x100;
}

/// Actual location of the long prefix table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrefixSpace {
    Nowhere,
    Primary,
    Metabox,
    Packed,
}

/// The location that readers use (docs/spec/erofs-format.md section 9.4).
pub(super) fn prefix_space(options: &ImageOptions) -> PrefixSpace {
    if options.prefixes.is_empty() {
        PrefixSpace::Nowhere
    } else if options.prefix_place == PrefixPlace::Plain {
        PrefixSpace::Primary
    } else if options.metabox.is_some() {
        PrefixSpace::Metabox
    } else if options.has_packed() {
        PrefixSpace::Packed
    } else {
        PrefixSpace::Primary
    }
}

/// True if shared attributes are in the metabox.
pub(super) fn shared_in_metabox(options: &ImageOptions) -> bool {
    options.shared_xattrs == SharedXattrs::Metabox && options.metabox.is_some()
}

/// Layout of the first bytes of the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    ext_slots: u8,
    device_table: u64,
    prefixes: u64,
    /// First free byte.
    pub(super) end: u64,
}

impl Head {
    pub(super) fn plan(options: &ImageOptions) -> Self {
        let ext_slots = options.ext_slots.max(u8::from(options.metabox.is_some()));
        let device_table = (START + BASE + 16 * u64::from(ext_slots)).next_multiple_of(SLOT);
        let prefixes = device_table + SLOT * options.devices.len() as u64;
        let end = match prefix_space(options) {
            PrefixSpace::Primary => prefixes + xattr::prefix_table(options).len() as u64,
            _ => prefixes,
        };
        Head {
            ext_slots,
            device_table,
            prefixes,
            end,
        }
    }

    /// Size of the superblock in bytes; must fit the page at byte 1024.
    pub(super) fn superblock_size(self) -> u64 {
        BASE + 16 * u64::from(self.ext_slots)
    }
}

/// Values that are known only when the layout is finished.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) root_nid: u64,
    pub(super) packed_nid: u64,
    pub(super) metabox_nid: u64,
    pub(super) inodes: u64,
    pub(super) meta_block: u32,
    pub(super) xattr_block: u32,
    /// Byte offset of the prefix table within the metabox or the packed file.
    pub(super) prefix_offset: u64,
    pub(super) chunked: bool,
    /// Blocks of the primary device.
    pub(super) blocks: u64,
    pub(super) wide: bool,
}

fn features(options: &ImageOptions, facts: &Facts) -> (u32, u32) {
    let when = |condition: bool, bit: u32| if condition { bit } else { 0 };
    let spoken = !options.terse_features;
    let plain = !options.prefixes.is_empty() && options.prefix_place == PrefixPlace::Plain;
    let compat = when(options.checksum, compat::CHECKSUM)
        | when(spoken, compat::MTIME)
        | when(options.filter, compat::FILTER)
        | when(shared_in_metabox(options), compat::SHARED_IN_METABOX)
        | when(plain, compat::PLAIN_PREFIXES);
    let incompat = when(spoken && facts.chunked, incompat::CHUNKED)
        | when(!options.devices.is_empty(), incompat::DEVICES)
        | when(options.has_packed(), incompat::FRAGMENTS)
        | when(spoken && !options.prefixes.is_empty(), incompat::PREFIXES)
        | when(facts.wide, incompat::WIDE)
        | when(options.metabox.is_some(), incompat::METABOX);
    (compat, incompat)
}

/// Encodes the superblock, to be written at [`START`].
pub(super) fn superblock(options: &ImageOptions, head: Head, facts: &Facts) -> Record {
    let filler = options.filler();
    let (compat, incompat) = features(options, facts);
    // A root nid beyond 16 bits makes the image wide.
    let word = if facts.wide {
        facts.blocks >> 32
    } else {
        facts.root_nid
    };
    let prefix_start = match prefix_space(options) {
        PrefixSpace::Nowhere => 0,
        PrefixSpace::Primary => head.prefixes,
        PrefixSpace::Metabox | PrefixSpace::Packed => facts.prefix_offset,
    };
    let mut record = Record::new();
    record.u32("superblock.magic", MAGIC);
    record.u32("superblock.checksum", 0);
    record.u32("superblock.feature_compat", compat);
    record.u8("superblock.blkszbits", options.block_bits);
    record.u8("superblock.sb_extslots", head.ext_slots);
    record.u16("superblock.rootnid_2b", word as u16);
    record.u64("superblock.inos", facts.inodes);
    record.u64("superblock.epoch", options.epoch as u64);
    record.u32("superblock.fixed_nsec", options.fixed_nsec);
    record.u32("superblock.blocks_lo", facts.blocks as u32);
    record.u32("superblock.meta_blkaddr", facts.meta_block);
    record.u32("superblock.xattr_blkaddr", facts.xattr_block);
    record.raw(&options.uuid);
    record.raw(&options.label);
    record.u32("superblock.feature_incompat", incompat);
    record.u16("superblock.u1", 0);
    record.u16("superblock.extra_devices", options.devices.len() as u16);
    record.u16("superblock.devt_slotoff", (head.device_table / SLOT) as u16);
    record.u8("superblock.dirblkbits", 0);
    record.u8(
        "superblock.xattr_prefix_count",
        options.prefixes.len() as u8,
    );
    record.u32("superblock.xattr_prefix_start", (prefix_start / 4) as u32);
    record.u64("superblock.packed_nid", facts.packed_nid);
    record.u8("superblock.xattr_filter_reserved", options.filter_reserved);
    record.u8("superblock.ishare_xattr_prefix_id", 0);
    record.reserved(2, filler);
    record.u32("superblock.build_time", options.build_time);
    record.u64(
        "superblock.rootnid_8b",
        if facts.wide { facts.root_nid } else { 0 },
    );
    record.reserved(8, filler);
    if head.ext_slots > 0 {
        record.u64("superblock.metabox_nid", facts.metabox_nid);
        record.reserved(8, filler);
        record.reserved(16 * (usize::from(head.ext_slots) - 1), filler);
    }
    record
}

/// Device table and plain prefix table, each with its offset in the image.
pub(super) fn tables(
    options: &ImageOptions,
    head: Head,
    allocation: &Allocation,
    wide: bool,
) -> Vec<(u64, Record)> {
    let mut devices = Record::new();
    let blocks = allocation.blocks[1..].iter();
    for ((device, blocks), unified) in options.devices.iter().zip(blocks).zip(&allocation.unified) {
        let mut tag = device.tag.clone();
        tag.resize(64, 0);
        devices.u8("device.tag", tag[0]);
        devices.raw(&tag[1..]);
        devices.u32("device.blocks_lo", *blocks as u32);
        devices.u32("device.uniaddr_lo", *unified as u32);
        // Reserved without 48BIT.
        let high = |value: u64| match wide {
            true => (value >> 32) as u16,
            false => u16::from(options.filler()),
        };
        devices.u16("device.blocks_hi", high(*blocks));
        devices.u16("device.uniaddr_hi", high(*unified));
        devices.reserved(52, options.filler());
    }
    let mut parts = vec![(head.device_table, devices)];
    if prefix_space(options) == PrefixSpace::Primary {
        parts.push((head.prefixes, xattr::prefix_table(options)));
    }
    parts
}
