// SPDX-License-Identifier: GPL-2.0

//! Mapping of file positions to extents (docs/spec/erofs-format.md section 5).

use crate::device::{bytes, check_range};
use crate::raw::chunk;
use crate::{Defect, Error, Inode, Layout, Source, Space, SuperBlock};

/// Bytes of chunk records fetched by one read of the source.
const BATCH: usize = 256;
/// Bytes of chunk records that one call reads at most, which bounds its duration for any image. With
/// 4 KiB chunks these cover 2 MiB of data.
const MAX_RECORDS: u64 = 16 * BATCH as u64;

/// Location of a run of file bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// No location: the bytes are zero.
    Hole,
    /// Blocks of a device, to be translated by [`resolve`](crate::resolve).
    Mapped {
        /// Device id, already masked. May exceed the device table.
        device_id: u16,
        /// Byte address of the extent's start, block-aligned.
        addr: u64,
    },
    /// Bytes after the inode that do not cross a block boundary.
    Inline {
        /// Space of the inode.
        space: Space,
        /// Byte offset in that space.
        offset: u64,
    },
}

/// A run of file bytes with one location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First file byte of the run, block-aligned. Beyond the end of the file it is the requested
    /// position.
    pub start: u64,
    /// Length in bytes, never 0. `start + len` is a multiple of the block size
    /// for [`Target::Hole`] and [`Target::Mapped`], and so may pass the end of
    /// the file by less than a block; it is that end for [`Target::Inline`].
    pub len: u64,
    /// Location of the bytes.
    pub target: Target,
}

/// Finds the extent of `inode` that contains byte `pos`.
///
/// The extent reaches at least one block beyond `pos`. Contiguous chunks are merged until the
/// extent covers `want` bytes from `pos` or the limit of records is reached. It may be longer than
/// requested and may start before `pos`.
///
/// # Errors
///
/// [`Defect::InlineCrossesBlock`], [`Defect::AddressOverflow`], or errors of the source while
/// reading the chunk map.
#[inline]
pub fn map<S: Source>(
    src: &S,
    sb: &SuperBlock,
    inode: &Inode,
    pos: u64,
    want: u64,
) -> Result<Extent, Error<S::Error>> {
    if pos >= inode.size {
        return Ok(past_end(sb, pos, want));
    }
    match inode.layout {
        Layout::FlatPlain => Ok(map_plain(sb, inode)?),
        Layout::FlatInline => Ok(map_inline(sb, inode, pos)?),
        Layout::ChunkBased => map_chunks(src, sb, inode, pos, want),
    }
}

/// The hole after the end of a file.
fn past_end(sb: &SuperBlock, pos: u64, want: u64) -> Extent {
    let end = sb
        .round_up(pos.saturating_add(want.max(1)))
        .unwrap_or(u64::MAX);
    Extent {
        start: pos,
        len: end.saturating_sub(pos).max(1),
        target: Target::Hole,
    }
}

/// The only extent of a plain file (docs/spec/erofs-format.md section 5.1).
fn map_plain(sb: &SuperBlock, inode: &Inode) -> Result<Extent, Defect> {
    let len = sb.round_up(inode.size).ok_or(Defect::AddressOverflow)?;
    let target = match inode.start_block() {
        None => Target::Hole,
        Some(block) => {
            let addr = bytes(sb, block);
            check_range(sb, addr, len)?;
            Target::Mapped { device_id: 0, addr }
        }
    };
    Ok(Extent {
        start: 0,
        len,
        target,
    })
}

/// The full blocks or the tail of an inline file (docs/spec/erofs-format.md section 5.2).
fn map_inline(sb: &SuperBlock, inode: &Inode, pos: u64) -> Result<Extent, Defect> {
    // `pos` is below the size, so the file has a last byte.
    let full = inode.size.saturating_sub(1) & !sb.block_mask();
    if pos < full {
        let addr = bytes(sb, inode.start_block().unwrap_or(0));
        check_range(sb, addr, full)?;
        return Ok(Extent {
            start: 0,
            len: full,
            target: Target::Mapped { device_id: 0, addr },
        });
    }
    let len = inode.size.saturating_sub(full);
    let in_block = inode.base() & sb.block_mask();
    if in_block.saturating_add(len) > u64::from(sb.block_size()) {
        return Err(Defect::InlineCrossesBlock);
    }
    Ok(Extent {
        start: full,
        len,
        target: Target::Inline {
            space: inode.space(),
            offset: inode.base(),
        },
    })
}

/// A record of a chunk map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Record {
    Hole,
    Block { device_id: u16, block: u64 },
}

/// Format of a chunk map, and the properties that all its records share.
struct ChunkMap<'a> {
    sb: &'a SuperBlock,
    /// Log2 of the chunk size in bytes, at most 16 + 31.
    bits: u32,
    /// Offset of record 0.
    table: u64,
    /// Size of a record: 4 or 8 bytes.
    unit: u64,
    format: u16,
    /// End of the last chunk: the file size rounded up to a block.
    end: u64,
}

impl<'a> ChunkMap<'a> {
    fn new(sb: &'a SuperBlock, inode: &Inode) -> Result<Self, Defect> {
        let format = inode.chunk_format();
        let unit: u64 = if format & chunk::INDEXES != 0 { 8 } else { 4 };
        let mask = unit.wrapping_sub(1);
        let table = inode
            .base()
            .checked_add(mask)
            .ok_or(Defect::AddressOverflow)?
            & !mask;
        Ok(Self {
            sb,
            bits: sb
                .block_bits()
                .wrapping_add(u32::from(format & chunk::BITS_MASK)),
            table,
            unit,
            format,
            end: sb.round_up(inode.size).ok_or(Defect::AddressOverflow)?,
        })
    }

    /// Chunk that contains a file byte.
    #[inline]
    fn index(&self, pos: u64) -> u64 {
        pos.wrapping_shr(self.bits)
    }

    /// First file byte of a chunk; `end` for the index after the last chunk.
    #[inline]
    fn start(&self, index: u64) -> u64 {
        match index.checked_mul(1u64.wrapping_shl(self.bits)) {
            Some(start) => start.min(self.end),
            None => self.end,
        }
    }

    /// Offset of record `index`.
    fn offset(&self, index: u64) -> Result<u64, Defect> {
        let offset = index.checked_mul(self.unit);
        offset
            .and_then(|offset| offset.checked_add(self.table))
            .ok_or(Defect::AddressOverflow)
    }

    #[inline]
    fn decode4(bytes: [u8; 4]) -> Record {
        match u32::from_le_bytes(bytes) {
            u32::MAX => Record::Hole,
            block => Record::Block {
                device_id: 0,
                block: u64::from(block),
            },
        }
    }

    #[inline]
    fn decode8(&self, bytes: [u8; 8]) -> Record {
        let [h0, h1, d0, d1, l0, l1, l2, l3] = bytes;
        let lo = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        let (block, null) = if self.format & chunk::BIT48 != 0 {
            let hi = u64::from(u16::from_le_bytes([h0, h1]));
            (lo | hi << 32, (1 << 48) - 1)
        } else {
            (lo, u64::from(u32::MAX))
        };
        if block == null {
            return Record::Hole;
        }
        Record::Block {
            device_id: u16::from_le_bytes([d0, d1]) & self.sb.device_id_mask(),
            block,
        }
    }

    /// Checks and returns the target of chunk `index`.
    fn target(&self, index: u64, record: Record) -> Result<Target, Defect> {
        match record {
            Record::Hole => Ok(Target::Hole),
            Record::Block { device_id, block } => {
                let addr = bytes(self.sb, block);
                let end = self.start(index.saturating_add(1));
                check_range(self.sb, addr, end.saturating_sub(self.start(index)))?;
                Ok(Target::Mapped { device_id, addr })
            }
        }
    }

    /// True if chunk `index` with `record` directly continues an extent that starts at chunk
    /// `first` with `target`.
    #[inline]
    fn continues(&self, first: u64, target: Target, index: u64, record: Record) -> bool {
        let Ok(next) = self.target(index, record) else {
            // A defect of this record is reported when its own bytes are requested.
            return false;
        };
        match (target, next) {
            (Target::Hole, Target::Hole) => true,
            (
                Target::Mapped { device_id, addr },
                Target::Mapped {
                    device_id: next_id,
                    addr: next_addr,
                },
            ) => {
                let gap = self.start(index).saturating_sub(self.start(first));
                device_id == next_id && addr.checked_add(gap) == Some(next_addr)
            }
            _ => false,
        }
    }
}

/// Bytes from `offset` to the end of its page of 4 KiB. A batch of records does not cross it: a
/// source may have one page and lack the next, which another extent needs.
fn left_in_page(offset: u64) -> u64 {
    const PAGE: u64 = 4096;
    PAGE.wrapping_sub(offset & PAGE.wrapping_sub(1))
}

/// The chunk of `pos`, merged with the chunks that continue it (docs/spec/erofs-format.md section
/// 5.4).
fn map_chunks<S: Source>(
    src: &S,
    sb: &SuperBlock,
    inode: &Inode,
    pos: u64,
    want: u64,
) -> Result<Extent, Error<S::Error>> {
    let map = ChunkMap::new(sb, inode)?;
    let first = map.index(pos);
    // Last record needed. `pos` is below the size.
    let last_byte = pos
        .saturating_add(want.saturating_sub(1))
        .min(inode.size.saturating_sub(1));
    let last = map.index(last_byte);

    let mut target = None;
    let mut next = first;
    let mut buf = [0; BATCH];
    let mut budget = MAX_RECORDS;
    'batches: while budget != 0 {
        let left = match last.checked_sub(next) {
            Some(more) => more.saturating_add(1).saturating_mul(map.unit),
            None => break,
        };
        let offset = map.offset(next)?;
        let batch = left_in_page(offset).min(BATCH as u64).min(budget);
        let len = left.min(batch);
        budget = budget.saturating_sub(len);
        let records = buf.get_mut(..len as usize).unwrap_or_default();
        if let Err(error) = src.read(inode.space(), offset, records) {
            if target.is_none() {
                return Err(error);
            }
            break;
        }
        let mut rest = &*records;
        while !rest.is_empty() {
            let record = if map.unit == 8 {
                let Some((record, tail)) = rest.split_first_chunk() else {
                    break 'batches;
                };
                rest = tail;
                map.decode8(*record)
            } else {
                let Some((record, tail)) = rest.split_first_chunk() else {
                    break 'batches;
                };
                rest = tail;
                ChunkMap::decode4(*record)
            };
            match target {
                None => target = Some(map.target(next, record)?),
                Some(target) if map.continues(first, target, next, record) => {}
                Some(_) => break 'batches,
            }
            next = next.saturating_add(1);
        }
    }

    let start = map.start(first);
    Ok(Extent {
        start,
        len: map.start(next).saturating_sub(start),
        target: target.ok_or(Defect::AddressOverflow)?,
    })
}
