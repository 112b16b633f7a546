// SPDX-License-Identifier: GPL-2.0

//! Lookup and listing of directories.
//!
//! Directory blocks are used in place, in the page cache of the blob: a directory
//! has no page cache of its own.

use super::{
    error::{checked, ImageResult},
    image::metadata,
    Inode,
};
use crate::vfs::{check_killed, DirSink, Flow, MetaSlice, Target, Waiting};
use kernel::{bindings, prelude::*};
use ondine_erofs::{dir::DIRENT_SIZE, Defect, DirBlock, DirSource, Error};

/// The blocks of one directory.
struct Blocks<'a>(&'a Inode);

impl DirSource for Blocks<'_> {
    type Block = MetaSlice;
    type Error = kernel::error::Error;

    fn block(&self, index: u32) -> ImageResult<MetaSlice> {
        let dir = self.0;
        let block_size = u64::from(dir.super_block().block_size());
        let position = u64::from(index).wrapping_mul(block_size);
        let wanted = dir.size().saturating_sub(position).min(block_size) as usize;
        let extent =
            super::map::map(dir, position, block_size, Waiting::Allowed).map_err(Error::Source)?;
        let bytes = match extent.target {
            Target::Blob(blob, address) => {
                let skip = position.wrapping_sub(extent.start);
                metadata(blob, address.wrapping_add(skip), wanted)?
            }
            Target::Inline(bytes, _) => bytes,
            // A block of zeros is not a valid directory block.
            Target::Hole => return Err(Defect::DirentCount.into()),
        };
        if bytes.len() < wanted {
            return Err(Defect::OutsideImage.into());
        }
        Ok(bytes)
    }
}

pub(super) fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<u64>> {
    let sb = dir.super_block();
    let found = ondine_erofs::lookup(&Blocks(dir), &sb.data().superblock, dir.node(), name);
    Ok(checked(sb, dir.nid(), found)?.map(|found| found.nid))
}

/// Emits entries until the sink is full or the directory ends.
///
/// The sinks of overlayfs and of the lookup of a file handle's name are never
/// full, and a directory of 2^31 blocks fits in an image of a few megabytes. So
/// signals are checked for in each block.
pub(super) fn read_dir(dir: &Inode, sink: &mut DirSink<'_>) -> Result {
    let sb = dir.super_block();
    let size = dir.size();
    let bits = sb.data().superblock.block_bits();
    while sink.position() < size {
        check_killed()?;
        let position = sink.position();
        let index = position.wrapping_shr(bits);
        let start = index.wrapping_shl(bits);
        let within = position.wrapping_sub(start) as u32;
        let answer = emit_block(dir, index, start, within, sink);
        if checked(sb, dir.nid(), answer)? == Flow::Stop {
            return Ok(());
        }
        let next = start.wrapping_add(u64::from(sb.block_size()));
        sink.skip_to(next.min(size));
    }
    // A directory without an entry "." on disk is listed with one, at the end.
    if dir.node().dot_omitted && sink.position() == size {
        let ino = sb.data().superblock.ino(dir.nid());
        sink.emit(
            b".",
            ino,
            bindings::DT_DIR as u8,
            size,
            size.wrapping_add(1),
        );
    }
    Ok(())
}

/// Emits the entries of a block, beginning at the offset `within`.
fn emit_block(
    dir: &Inode,
    index: u64,
    start: u64,
    within: u32,
    sink: &mut DirSink<'_>,
) -> ImageResult<Flow> {
    let superblock = &dir.super_block().data().superblock;
    let index = u32::try_from(index).map_err(|_| Defect::DirTooBig)?;
    let bytes = Blocks(dir).block(index)?;
    let valid = dir.size().saturating_sub(start) as usize;
    let block = DirBlock::new(bytes.get(..valid).unwrap_or(&bytes))?;
    for entry in block.entries_from(within) {
        let entry = entry?;
        let position = start.wrapping_add(u64::from(entry.offset));
        let next = position.wrapping_add(u64::from(DIRENT_SIZE));
        let (ino, dtype) = (superblock.ino(entry.nid), entry.file_type.dtype());
        if sink.emit(entry.name, ino, dtype, position, next) == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Continue)
}
