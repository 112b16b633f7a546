// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Block allocation: plain runs in order, chunks in file order or shuffled, equal chunks once.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::item::{chunk_count, Item, Payload};
use super::options::{ImageOptions, Unified};
use super::resolve::Body;
use super::WriteError;
use crate::tree::{mix, Chunks};

/// Maximum size of a chunk that is deduplicated.
const DEDUPE_MAX: u64 = 1 << 20;
/// Block addresses have 48 bits; all ones means a hole.
const BLOCK_MAX: u64 = (1 << 48) - 1;
/// All ones means a hole in 32 bits, so this block is never allocated.
const NULL_32: u64 = 0xffff_ffff;

/// Bytes of an inode stored on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Index of the inode.
    pub(super) item: usize,
    /// First byte of the file.
    pub(super) offset: u64,
    /// Length in bytes; the last block may be partly used.
    pub(super) len: u64,
    pub(super) device: u16,
    /// First block on the device.
    pub(super) block: u64,
}

/// Allocation of all data of the image.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) extents: Vec<Extent>,
    /// Number of blocks of every device, the primary first.
    pub(super) blocks: Vec<u64>,
    /// First unified block of every extra device; 0 for none.
    pub(super) unified: Vec<u64>,
}

struct Run {
    item: usize,
    chunk: usize,
    device: u16,
    offset: u64,
    len: u64,
}

struct Allocator<'o> {
    options: &'o ImageOptions,
    next: Vec<u64>,
    extents: Vec<Extent>,
    known: HashMap<(u16, u64, [u8; 32]), u64>,
}

/// Allocates the blocks of every inode. The primary device's data starts at `first_block` or later.
pub(super) fn allocate(
    items: &mut [Item<'_>],
    first_block: u64,
    options: &ImageOptions,
) -> Result<Allocation, WriteError> {
    let mut next = vec![first_block.max(options.data_block)];
    next.extend(options.devices.iter().map(|device| device.first_block));
    let mut allocator = Allocator {
        options,
        next,
        extents: Vec::new(),
        known: HashMap::new(),
    };
    let mut runs = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        match item.body.clone() {
            Body::Plain(device) => {
                item.start = allocator.plain(index, device, item.size);
            }
            Body::Inline { device, tail } if item.size > tail => {
                item.start = allocator.plain(index, device, item.size - tail);
            }
            Body::Chunked(chunks) => runs.extend(chunk_runs(index, item, &chunks, options)),
            Body::Inline { .. } | Body::Empty | Body::Null => {}
        }
    }
    if let Some(seed) = options.shuffle {
        let mut order: Vec<(u64, Run)> = runs
            .into_iter()
            .zip(0..)
            .map(|(run, n)| (mix(seed ^ mix(n)), run))
            .collect();
        order.sort_by_key(|(key, _)| *key);
        runs = order.into_iter().map(|(_, run)| run).collect();
    }
    for run in runs {
        let block = allocator.chunk(&run, &items[run.item]);
        items[run.item].chunks[run.chunk] = Some(block);
    }
    allocator.finish()
}

/// Chunks of an inode that are not holes. Initialises its chunk list to holes.
fn chunk_runs(
    index: usize,
    item: &mut Item<'_>,
    chunks: &Chunks,
    options: &ImageOptions,
) -> Vec<Run> {
    let size = item.size;
    let count = chunk_count(chunks, size, options);
    let chunk_size = options.block_size() << chunks.bits;
    item.chunks = vec![None; count as usize];
    (0..count)
        .map(|chunk| {
            let offset = chunk * chunk_size;
            Run {
                item: index,
                chunk: chunk as usize,
                device: chunks.devices[chunk as usize % chunks.devices.len()],
                offset,
                len: (size - offset).min(chunk_size),
            }
        })
        .filter(|run| !item.payload.is_hole(run.offset..run.offset + run.len))
        .collect()
}

impl Allocator<'_> {
    fn take(&mut self, device: u16, len: u64) -> u64 {
        let next = &mut self.next[usize::from(device)];
        let blocks = len.div_ceil(self.options.block_size());
        if (*next..*next + blocks).contains(&NULL_32) {
            *next = NULL_32 + 1;
        }
        let block = *next;
        *next += blocks;
        block
    }

    fn plain(&mut self, item: usize, device: u16, len: u64) -> u64 {
        let block = self.take(device, len);
        self.extents.push(Extent {
            item,
            offset: 0,
            len,
            device,
            block,
        });
        block
    }

    fn chunk(&mut self, run: &Run, item: &Item<'_>) -> u64 {
        let key = self.dedupe_key(run, item);
        if let Some(block) = key.as_ref().and_then(|key| self.known.get(key)) {
            return *block;
        }
        let block = self.take(run.device, run.len);
        let Run {
            item,
            offset,
            len,
            device,
            ..
        } = *run;
        self.extents.push(Extent {
            item,
            offset,
            len,
            device,
            block,
        });
        if let Some(key) = key {
            self.known.insert(key, block);
        }
        block
    }

    /// Key by which chunks are equal. The metabox has no contents yet, so only files of the tree
    /// take part.
    fn dedupe_key(&self, run: &Run, item: &Item<'_>) -> Option<(u16, u64, [u8; 32])> {
        let eligible = self.options.dedupe && run.len <= DEDUPE_MAX;
        if !eligible || !matches!(item.payload, Payload::File(_)) {
            return None;
        }
        let bytes = item.read(run.offset, run.len as usize).bytes;
        Some((run.device, run.len, Sha256::digest(&bytes).into()))
    }

    fn finish(self) -> Result<Allocation, WriteError> {
        let block_size = self.options.block_size();
        let unit = self.options.padding.max(block_size).div_ceil(block_size);
        // A loop device cannot be created from an empty file, so no device is empty.
        let padded = |next: &u64| next.next_multiple_of(unit).max(unit);
        let blocks: Vec<u64> = self.next.iter().map(padded).collect();
        let mut free = blocks[0];
        let mut unified = Vec::new();
        for (device, count) in self.options.devices.iter().zip(&blocks[1..]) {
            let wish = match device.unified {
                Unified::None if !self.options.flat => {
                    unified.push(0);
                    continue;
                }
                Unified::None | Unified::Next => free,
                Unified::AtLeast(block) => block.max(free).next_multiple_of(unit),
            };
            unified.push(wish);
            free = wish + count;
        }
        let end = blocks.iter().chain([&free]).copied().max().unwrap_or(0);
        if end >= BLOCK_MAX {
            return Err(WriteError::Address(end));
        }
        Ok(Allocation {
            extents: self.extents,
            blocks,
            unified,
        })
    }
}
