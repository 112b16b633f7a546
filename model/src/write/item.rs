// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Inodes of an image: one per node, one for the metabox, one for the packed file.

use super::directory::Packed;
use super::place::{Trailing, Wanted};
use super::record::Record;
use super::resolve::{self, Body, Facts};
use super::{ImageOptions, WriteError};
use crate::tree::{ChunkMap, Chunks, Content, InodeForm, Kind, Node, NodeId};

/// Contents of an inode.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Nothing,
    File(&'a Content),
    Record(Record),
}

impl Payload<'_> {
    /// True if no byte of the range was written.
    pub(super) fn is_hole(&self, range: std::ops::Range<u64>) -> bool {
        match self {
            Payload::File(content) => content.is_hole(range),
            Payload::Nothing | Payload::Record(_) => false,
        }
    }
}

/// An inode under construction.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// Node of the tree; `None` for the metabox and the packed file.
    pub(super) node: Option<(NodeId, &'a Node)>,
    pub(super) size: u64,
    pub(super) links: u32,
    pub(super) form: InodeForm,
    pub(super) body: Body,
    pub(super) metabox: bool,
    pub(super) straddle: bool,
    pub(super) dot_omitted: bool,
    pub(super) xattrs: Record,
    pub(super) directory: Option<Packed>,
    pub(super) payload: Payload<'a>,
    /// Offset of the inode in its space, once positioned.
    pub(super) iloc: u64,
    /// First block of plain data on its device, once allocated.
    pub(super) start: u64,
    /// Block of every chunk on its device, once allocated; `None` for a hole.
    pub(super) chunks: Vec<Option<u64>>,
}

/// Record width of a chunk map in bytes.
pub(super) fn map_unit(map: ChunkMap) -> u64 {
    match map {
        ChunkMap::Blocks => 4,
        ChunkMap::Indexes | ChunkMap::Indexes48 => 8,
    }
}

/// Number of chunks of a file of `size` bytes.
pub(super) fn chunk_count(chunks: &Chunks, size: u64, options: &ImageOptions) -> u64 {
    let bits = u32::from(chunks.bits) + u32::from(options.block_bits);
    size.div_ceil(1 << bits)
}

/// Maximum number of records in a map. Larger ones are a mistake of the test.
const RECORDS_MAX: u64 = 1 << 22;

impl<'a> Item<'a> {
    /// Creates the inode of a node.
    pub(super) fn of_node(
        (id, node): (NodeId, &'a Node),
        links: u32,
        directory: Option<Packed>,
        xattrs: Record,
        options: &ImageOptions,
    ) -> Result<Self, WriteError> {
        let (size, payload) = match &node.kind {
            Kind::Directory(_) => (
                directory.as_ref().map_or(0, |packed| packed.size),
                Payload::Nothing,
            ),
            Kind::File(content) => (content.len(), Payload::File(content)),
            Kind::Symlink(target) => {
                let mut record = Record::new();
                record.raw(target);
                (target.len() as u64, Payload::Record(record))
            }
            _ => (0, Payload::Nothing),
        };
        let facts = Facts {
            layout: &node.layout,
            size,
            links,
            directory: node.is_directory(),
            device: resolve::is_device(node),
            all_hole: resolve::all_hole(node),
            xattr_area: xattrs.len() as u64,
        };
        let mut item = Item::new(&facts, resolve::fits_compact(node, options), options)?;
        item.node = Some((id, node));
        item.metabox = node.layout.metabox && options.metabox.is_some();
        item.xattrs = xattrs;
        item.directory = directory;
        item.payload = payload;
        Ok(item)
    }

    /// Creates an inode without a name.
    pub(super) fn hidden(
        layout: &crate::tree::Layout,
        size: u64,
        payload: Payload<'a>,
        options: &ImageOptions,
    ) -> Result<Self, WriteError> {
        let facts = Facts {
            layout,
            size,
            links: 1,
            directory: false,
            device: false,
            all_hole: false,
            xattr_area: 0,
        };
        let mut item = Item::new(&facts, true, options)?;
        item.payload = payload;
        Ok(item)
    }

    fn new(facts: &Facts<'_>, compact: bool, options: &ImageOptions) -> Result<Self, WriteError> {
        let form = resolve::form(facts, compact, options);
        let body = resolve::body(facts, form, options);
        if i64::try_from(facts.size).is_err() {
            return Err(WriteError::FileSize(facts.size));
        }
        if let Body::Chunked(chunks) = &body {
            let records = chunk_count(chunks, facts.size, options);
            if records > RECORDS_MAX {
                return Err(WriteError::ChunkMap(records));
            }
        }
        Ok(Item {
            node: None,
            size: facts.size,
            links: facts.links,
            form,
            body,
            metabox: false,
            straddle: facts.layout.straddle,
            dot_omitted: facts.directory && facts.layout.dot_omitted,
            xattrs: Record::new(),
            directory: None,
            payload: Payload::Nothing,
            iloc: 0,
            start: 0,
            chunks: Vec::new(),
        })
    }

    /// Size of inode and extended attributes in bytes.
    pub(super) fn head(&self) -> u64 {
        resolve::inode_size(self.form) + self.xattrs.len() as u64
    }

    /// Space requirements of the inode.
    pub(super) fn wanted(&self, options: &ImageOptions) -> Wanted {
        let trailing = match &self.body {
            Body::Inline { tail, .. } => Trailing::Tail(*tail),
            Body::Chunked(chunks) => {
                let unit = map_unit(chunks.map);
                Trailing::Map {
                    unit,
                    len: unit * chunk_count(chunks, self.size, options),
                }
            }
            Body::Empty | Body::Null | Body::Plain(_) => Trailing::Nothing,
        };
        Wanted {
            head: self.head(),
            trailing,
            straddle: self.straddle,
        }
    }

    /// Reads bytes `offset..offset + count` of the contents, for a piece that is not a hole.
    pub(super) fn read(&self, offset: u64, count: usize) -> Record {
        let mut bytes = vec![0; count];
        match &self.payload {
            Payload::Nothing => {}
            Payload::File(content) => content.read_at(offset, &mut bytes),
            Payload::Record(record) => {
                let start = offset as usize;
                return record.slice(start..(start + count).min(record.len()));
            }
        }
        let mut record = Record::new();
        record.raw(&bytes);
        record
    }

    /// True if the contents are those of a regular file of the tree.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.payload, Payload::File(_))
    }
}
