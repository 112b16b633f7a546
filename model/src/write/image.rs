// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Assembly of an image, and the finished image.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::allocate::{allocate, Allocation};
use super::checksum::seal;
use super::directory::pack;
use super::disk::Disk;
use super::inode::Encoder;
use super::item::{Item, Payload};
use super::options::ImageOptions;
use super::place::Area;
use super::record::{Record, Site};
use super::resolve::Body;
use super::superblock::{self, Head, PrefixSpace};
use super::xattr::{self, Shared};
use super::{SparseBytes, WriteError};
use crate::read;
use crate::tree::{InodeForm, Kind, NodeId, Tree};

const METABOX: u64 = 1 << 63;

/// Layout of a node's data as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlacedData {
    /// No data.
    Empty,
    /// FLAT_PLAIN with the null start address.
    Null,
    /// FLAT_PLAIN.
    Plain,
    /// FLAT_INLINE.
    Inline,
    /// CHUNK_BASED.
    Chunked,
}

/// Location and form of a node as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The node.
    pub node: NodeId,
    /// Its nid; bit 63 for the metabox.
    pub nid: u64,
    /// Form of its inode.
    pub inode: InodeForm,
    /// Layout of its data.
    pub data: PlacedData,
    /// True if the inode's body crosses a block boundary.
    pub straddles: bool,
}

/// A finished image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The primary device.
    pub primary: SparseBytes,
    /// Extra devices in slot order; empty for a flat image.
    pub blobs: Vec<SparseBytes>,
    /// Every field written, for tests that damage them.
    pub sites: Vec<Site>,
    /// Every node of the tree.
    pub placed: Vec<Placed>,
    /// log2 of the block size.
    pub block_bits: u8,
    /// True if the superblock has a checksum.
    pub checksum: bool,
}

impl Image {
    /// Bytes of device `device`, where 0 is the primary.
    pub fn device_mut(&mut self, device: u16) -> Option<&mut SparseBytes> {
        match device {
            0 => Some(&mut self.primary),
            n => self.blobs.get_mut(usize::from(n) - 1),
        }
    }

    /// Length in bytes of the longest device. Sparse devices can exceed the limits of any host file
    /// system.
    pub fn longest_device(&self) -> u64 {
        let all = self.blobs.iter().chain([&self.primary]);
        all.map(SparseBytes::len).max().unwrap_or(0)
    }

    /// Recomputes the superblock checksum, if there is one.
    pub fn reseal(&mut self) {
        if self.checksum {
            seal(&mut self.primary, self.block_bits);
        }
    }

    /// Mounts the image in the model's reader, with pages of 4 KiB or the block size, whichever is
    /// larger.
    ///
    /// # Errors
    /// As [`read::Image::open`]; none for an undamaged image.
    pub fn open(&self) -> read::Result<read::Image> {
        let boxed = |store: &SparseBytes| Box::new(store.clone()) as Box<dyn read::DeviceBytes>;
        let setup = read::Setup {
            devices: self.blobs.iter().map(boxed).collect(),
            page_size: 4096.max(1 << self.block_bits),
        };
        read::Image::open(self.primary.clone(), setup)
    }

    /// Creates the files `NAME.erofs`, `NAME.blob1`, `NAME.blob2`, … in `directory` and returns
    /// their paths, the primary device first.
    ///
    /// # Errors
    /// Errors of creating and writing the files.
    pub fn write_to_directory(&self, directory: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
        let mut paths = vec![directory.join(format!("{name}.erofs"))];
        paths.extend((1..=self.blobs.len()).map(|n| directory.join(format!("{name}.blob{n}"))));
        for (path, store) in paths
            .iter()
            .zip(std::iter::once(&self.primary).chain(&self.blobs))
        {
            store.write_to(&File::create(path)?)?;
        }
        Ok(paths)
    }
}

fn check(tree: &Tree, options: &ImageOptions, head: Head) -> Result<(), WriteError> {
    if !(9..=16).contains(&options.block_bits) {
        return Err(WriteError::BlockSize(options.block_bits));
    }
    if head.superblock_size() > 4096 - superblock::START {
        return Err(WriteError::Superblock(head.superblock_size()));
    }
    let long_tag = options
        .devices
        .iter()
        .position(|device| device.tag.len() > 64);
    if let Some(index) = long_tag.or((options.devices.len() > 0xffff).then_some(0x1_0000)) {
        return Err(WriteError::Device(index + 1));
    }
    let long_infix = options
        .prefixes
        .iter()
        .position(|prefix| prefix.infix.len() > 255);
    if let Some(index) = long_infix.or((options.prefixes.len() > 128).then_some(128)) {
        return Err(WriteError::Prefix(index));
    }
    for (_, node) in tree.nodes() {
        if let Kind::Symlink(target) = &node.kind {
            if !(1..=4095).contains(&target.len()) || target.contains(&0) {
                return Err(WriteError::Target(target.len()));
            }
        }
    }
    Ok(())
}

/// Location of the shared attributes.
struct SharedPlace {
    /// Byte offset in their space.
    offset: u64,
    block: u32,
    first_id: u32,
}

impl SharedPlace {
    fn at(offset: u64, options: &ImageOptions) -> Self {
        let block = (offset / options.block_size()).saturating_sub(u64::from(options.xattr_lead));
        let first_id = (offset - block * options.block_size()) / 4;
        SharedPlace {
            offset,
            block: block as u32,
            first_id: first_id as u32,
        }
    }
}

/// All inodes with their positions in the metadata spaces.
struct Plan<'a> {
    items: Vec<Item<'a>>,
    meta_block: u64,
    /// First byte after the primary device's metadata.
    primary_end: u64,
    metabox: Option<usize>,
    packed: Option<usize>,
}

impl Plan<'_> {
    fn nid(&self, index: usize, block_size: u64) -> u64 {
        let item = &self.items[index];
        if item.metabox {
            METABOX | (item.iloc / 32)
        } else {
            (item.iloc - self.meta_block * block_size) / 32
        }
    }
}

/// Bytes of the packed file before the prefix table, as if the file had another use, too.
const PACKED_LEAD: usize = 8;

fn tree_items<'a>(
    tree: &'a Tree,
    shared: &Shared<'_>,
    first_id: u32,
    options: &ImageOptions,
) -> Result<Vec<Item<'a>>, WriteError> {
    let parents = tree.parents();
    let links = tree.link_counts();
    let item = |(id, node)| {
        let node: &crate::tree::Node = node;
        let id: NodeId = id;
        let packed = parents[id.index()].map(|parent| {
            pack(
                tree,
                id,
                parent,
                !node.layout.dot_omitted,
                options.block_bits,
            )
        });
        let xattrs = xattr::area(node, shared, first_id, options)?;
        Item::of_node((id, node), links[id.index()], packed, xattrs, options)
    };
    tree.nodes().map(item).collect()
}

fn plan<'a>(
    mut items: Vec<Item<'a>>,
    primary_start: u64,
    metabox_start: u64,
    options: &ImageOptions,
) -> Result<Plan<'a>, WriteError> {
    let block_size = options.block_size();
    let mut inside = Area::starting_at(metabox_start, block_size);
    for item in items.iter_mut().filter(|item| item.metabox) {
        item.iloc = inside.take(item.wanted(options));
    }
    let nodes = items.len();
    let mut metabox = None;
    if let Some(layout) = &options.metabox {
        metabox = Some(items.len());
        items.push(Item::hidden(
            layout,
            inside.end(),
            Payload::Nothing,
            options,
        )?);
    }
    let mut packed = None;
    if options.has_packed() {
        let mut contents = Record::new();
        contents.reserved(PACKED_LEAD, 0xee);
        contents.append(xattr::prefix_table(options));
        packed = Some(items.len());
        let size = contents.len() as u64;
        items.push(Item::hidden(
            &options.packed,
            size,
            Payload::Record(contents),
            options,
        )?);
    }
    let meta_block = match options.meta_block {
        0 => 0,
        wish => u64::from(wish).max(primary_start.div_ceil(block_size)),
    };
    // Slot 0 stays free: nid 0 means "none" in some fields.
    let first = primary_start.max(meta_block * block_size + 32);
    let mut outside = Area::starting_at(first, block_size);
    // The root comes first because its nid may be limited to 16 bits.
    for index in std::iter::once(0).chain(nodes..items.len()).chain(1..nodes) {
        if !items[index].metabox {
            items[index].iloc = outside.take(items[index].wanted(options));
        }
    }
    Ok(Plan {
        items,
        meta_block,
        primary_end: outside.end(),
        metabox,
        packed,
    })
}

/// Writes `tree` in dependency order: sizes, positions, addresses, bytes.
pub(super) fn assemble(tree: &Tree, options: &ImageOptions) -> Result<Image, WriteError> {
    let head = Head::plan(options);
    check(tree, options, head)?;
    let block_size = options.block_size();
    let shared = xattr::share(tree, options)?;
    let shared_len = shared.table.len() as u64;
    let prefixes = match superblock::prefix_space(options) {
        PrefixSpace::Metabox => xattr::prefix_table(options),
        _ => Record::new(),
    };
    let (mut primary_start, mut metabox_start) = (head.end, prefixes.len() as u64);
    let inside = superblock::shared_in_metabox(options);
    let start = if inside {
        &mut metabox_start
    } else {
        &mut primary_start
    };
    let shared_place = SharedPlace::at(*start, options);
    *start += shared_len;

    let items = tree_items(tree, &shared, shared_place.first_id, options)?;
    let mut plan = plan(items, primary_start, metabox_start, options)?;
    let nids: Vec<u64> = (0..plan.items.len())
        .map(|index| plan.nid(index, block_size))
        .collect();
    for item in &mut plan.items {
        if let Some(directory) = &item.directory {
            let contents = directory.build(tree, |id| nids[id.index()], options.filler());
            item.payload = Payload::Record(contents);
        }
    }
    let first_block = plan.primary_end.div_ceil(block_size);
    let allocation = allocate(&mut plan.items, first_block, options)?;

    let encoder = Encoder {
        options,
        allocation: &allocation,
    };
    if let Some(index) = plan.metabox {
        let mut contents = Record::zeros(plan.items[index].size as usize);
        contents.overlay(0, prefixes);
        if inside {
            contents.overlay(shared_place.offset as usize, shared.table.clone());
        }
        for (number, item) in plan
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.metabox)
        {
            contents.overlay(item.iloc as usize, encoder.inode(item, number as u32 + 1)?);
        }
        plan.items[index].payload = Payload::Record(contents);
    }

    let mut disk = Disk::new(options, &allocation);
    let facts = facts(tree, options, &plan, &nids, &allocation, shared_place.block);
    disk.put(
        0,
        superblock::START,
        &superblock::superblock(options, head, &facts),
    );
    for (offset, table) in superblock::tables(options, head, &allocation, facts.wide) {
        disk.put(0, offset, &table);
    }
    if !inside {
        disk.put(0, shared_place.offset, &shared.table);
    }
    for (number, item) in plan
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| !item.metabox)
    {
        disk.put(0, item.iloc, &encoder.inode(item, number as u32 + 1)?);
    }
    for extent in &allocation.extents {
        disk.fill(extent, &plan.items[extent.item]);
    }
    let Disk {
        mut stores, sites, ..
    } = disk;
    let mut image = Image {
        primary: stores.remove(0),
        blobs: stores,
        sites,
        placed: placed(&plan, &nids, block_size),
        block_bits: options.block_bits,
        checksum: options.checksum,
    };
    image.reseal();
    Ok(image)
}

fn facts(
    tree: &Tree,
    options: &ImageOptions,
    plan: &Plan<'_>,
    nids: &[u64],
    allocation: &Allocation,
    xattr_block: u32,
) -> superblock::Facts {
    let end = |(start, blocks): (&u64, &u64)| start + blocks;
    let flat_end = allocation
        .unified
        .iter()
        .zip(&allocation.blocks[1..])
        .map(end)
        .max();
    let blocks = match options.flat {
        true => allocation.blocks[0].max(flat_end.unwrap_or(0)),
        false => allocation.blocks[0],
    };
    let far = |block: &u64| *block > u64::from(u32::MAX);
    let wide = options.wide
        || nids[0] > 0xffff
        || far(&blocks)
        || allocation.blocks.iter().chain(&allocation.unified).any(far);
    superblock::Facts {
        root_nid: nids[0],
        packed_nid: plan.packed.map_or(0, |index| nids[index]),
        metabox_nid: plan.metabox.map_or(0, |index| nids[index]),
        inodes: tree.len() as u64,
        meta_block: plan.meta_block as u32,
        xattr_block,
        prefix_offset: plan.packed.map_or(0, |_| PACKED_LEAD as u64),
        chunked: plan
            .items
            .iter()
            .any(|item| matches!(item.body, Body::Chunked(_))),
        blocks,
        wide,
    }
}

fn placed(plan: &Plan<'_>, nids: &[u64], block_size: u64) -> Vec<Placed> {
    let of = |(item, nid): (&Item<'_>, &u64)| {
        let (node, _) = item.node?;
        let data = match item.body {
            Body::Empty => PlacedData::Empty,
            Body::Null => PlacedData::Null,
            Body::Plain(_) => PlacedData::Plain,
            Body::Inline { .. } => PlacedData::Inline,
            Body::Chunked(_) => PlacedData::Chunked,
        };
        let straddles =
            item.form == InodeForm::Extended && item.iloc % block_size + 64 > block_size;
        Some(Placed {
            node,
            nid: *nid,
            inode: item.form,
            data,
            straddles,
        })
    };
    plan.items.iter().zip(nids).filter_map(of).collect()
}
