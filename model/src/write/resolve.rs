// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Resolution of storage options to inode forms and data layouts, before any address is known.

use super::options::{ImageOptions, Unified};
use crate::tree::{ChunkMap, Chunks, DataForm, InodeForm, Kind, Layout, Node};

/// Resolved data layout of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// No data: an empty file or a device.
    Empty,
    /// FLAT_PLAIN with the null start address.
    Null,
    /// FLAT_PLAIN on a device.
    Plain(u16),
    /// FLAT_INLINE: full blocks on a device, `tail` bytes after the inode.
    Inline {
        /// Device of the full blocks.
        device: u16,
        /// Length of the tail, 1..=block size.
        tail: u64,
    },
    /// CHUNK_BASED; all devices exist and the map can address them.
    Chunked(Chunks),
}

/// Properties of an inode that determine its layout.
pub(crate) struct Facts<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) size: u64,
    pub(crate) links: u32,
    pub(crate) directory: bool,
    /// A device node, whose number occupies the field of a chunk format.
    pub(crate) device: bool,
    /// No byte was written.
    pub(crate) all_hole: bool,
    /// Length of the extended attribute area.
    pub(crate) xattr_area: u64,
}

/// Size of an inode body in bytes.
pub(crate) fn inode_size(form: InodeForm) -> u64 {
    match form {
        InodeForm::Extended => 64,
        InodeForm::Compact | InodeForm::CompactOneLink => 32,
    }
}

/// True if owner and time fit a compact inode.
pub(crate) fn fits_compact(node: &Node, options: &ImageOptions) -> bool {
    let age = node.mtime.seconds.checked_sub(options.epoch);
    node.uid <= 0xffff
        && node.gid <= 0xffff
        && node.mtime.nanoseconds == options.fixed_nsec
        && age.is_some_and(|age| u32::try_from(age).is_ok())
}

/// Selects the form of an inode.
pub(crate) fn form(
    facts: &Facts<'_>,
    compact_attributes: bool,
    options: &ImageOptions,
) -> InodeForm {
    let one_link = facts.links == 1 && !facts.directory;
    let fits = compact_attributes && facts.size <= u64::from(u32::MAX) && facts.links <= 0xffff;
    match facts.layout.inode {
        _ if !fits => InodeForm::Extended,
        InodeForm::CompactOneLink if one_link => InodeForm::CompactOneLink,
        InodeForm::Compact | InodeForm::CompactOneLink if !options.may_exceed_32_bits() => {
            InodeForm::Compact
        }
        InodeForm::Compact if one_link => InodeForm::CompactOneLink,
        _ => InodeForm::Extended,
    }
}

/// Selects the data layout of an inode of this form.
pub(crate) fn body(facts: &Facts<'_>, form: InodeForm, options: &ImageOptions) -> Body {
    if facts.size == 0 {
        return match &facts.layout.data {
            DataForm::Chunked(chunks) if !facts.device => Body::Chunked(chunked(chunks, options)),
            _ => Body::Empty,
        };
    }
    let device = unified_device(facts.layout.device, options);
    match &facts.layout.data {
        DataForm::Plain if facts.all_hole => Body::Null,
        DataForm::Plain => Body::Plain(device),
        DataForm::Inline => {
            let block = options.block_size();
            let tail = (facts.size - 1) % block + 1;
            let offset = (inode_size(form) + facts.xattr_area) % 32;
            // The best position of the tail is the first slot of a block.
            if offset + tail <= block {
                Body::Inline { device, tail }
            } else {
                // Never null, so that the layout does not depend on the extended attributes.
                Body::Plain(device)
            }
        }
        DataForm::Chunked(chunks) => Body::Chunked(chunked(chunks, options)),
    }
}

fn chunked(wish: &Chunks, options: &ImageOptions) -> Chunks {
    let map = if options.may_exceed_32_bits() {
        ChunkMap::Indexes48
    } else {
        wish.map
    };
    let unified = wish.unified || map == ChunkMap::Blocks;
    let known = |device: &u16| match unified && (map == ChunkMap::Blocks) {
        true => unified_device(*device, options),
        false => existing_device(*device, options),
    };
    let devices = match wish.devices.as_slice() {
        [] => vec![0],
        wished => wished.iter().map(known).collect(),
    };
    Chunks {
        bits: wish.bits.min(31),
        map,
        devices,
        unified,
    }
}

fn existing_device(device: u16, options: &ImageOptions) -> u16 {
    device % (options.devices.len() as u16).saturating_add(1)
}

/// The device if it is addressable by unified block numbers, else the primary.
fn unified_device(device: u16, options: &ImageOptions) -> u16 {
    let device = existing_device(device, options);
    if device == 0 || has_unified(device, options) {
        device
    } else {
        0
    }
}

/// True if extra device `device` (1-based) has a unified address.
pub(crate) fn has_unified(device: u16, options: &ImageOptions) -> bool {
    options.flat || options.devices[usize::from(device) - 1].unified != Unified::None
}

/// True if the node has a size but no byte was written.
pub(crate) fn all_hole(node: &Node) -> bool {
    match &node.kind {
        Kind::File(content) => content.is_hole(0..content.len()),
        _ => false,
    }
}

/// Layout of a file's data as far as a reader can tell: `Inline` may still become `Plain`.
pub(crate) fn visible_body(node: &Node, size: u64, links: u32, options: &ImageOptions) -> Body {
    let facts = Facts {
        layout: &node.layout,
        size,
        links,
        directory: node.is_directory(),
        device: is_device(node),
        all_hole: all_hole(node),
        xattr_area: 0,
    };
    body(
        &facts,
        form(&facts, fits_compact(node, options), options),
        options,
    )
}

/// True for a character or block device.
pub(crate) fn is_device(node: &Node) -> bool {
    matches!(node.kind, Kind::Character(_) | Kind::Block(_))
}
