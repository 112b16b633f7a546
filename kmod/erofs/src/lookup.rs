// SPDX-License-Identifier: GPL-2.0

//! Lookup of names in directories (docs/spec/erofs-format.md section 6.1).

use core::cmp::Ordering;
use core::ops::Deref;

use crate::dir::NAME_MAX;
use crate::{Defect, DirBlock, Dirent, Error, FileType, Inode, SuperBlock};

/// Source of a directory's blocks.
pub trait DirSource {
    /// Bytes of a block, valid while it is held.
    type Block: Deref<Target = [u8]>;
    /// Error of reading a block.
    type Error;

    /// Returns block `index` of the directory's data. It must contain at least the bytes within the
    /// directory's size; others are ignored.
    ///
    /// # Errors
    ///
    /// When the block cannot be read.
    fn block(&self, index: u32) -> Result<Self::Block, Error<Self::Error>>;
}

/// Result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inode number.
    pub nid: u64,
    /// Type of the inode according to the entry.
    pub file_type: FileType,
}

impl From<Dirent<'_>> for Found {
    #[inline]
    fn from(dirent: Dirent<'_>) -> Self {
        Self {
            nid: dirent.nid,
            file_type: dirent.file_type,
        }
    }
}

/// Looks up `name` in directory `dir`; `None` if it does not exist.
///
/// Binary search by the first and last names of blocks, which ends at the first block that can
/// contain the name. At most two blocks are held at a time. The result is correct for a sorted
/// directory; in an unsorted one, names can be missed.
///
/// # Errors
///
/// [`Defect::NameTooLong`], [`Defect::DirTooBig`], and those of [`DirBlock`] for entries that the
/// search reads.
pub fn lookup<D: DirSource>(
    src: &D,
    sb: &SuperBlock,
    dir: &Inode,
    name: &[u8],
) -> Result<Option<Found>, Error<D::Error>> {
    if name.len() > NAME_MAX {
        return Err(Defect::NameTooLong.into());
    }
    let Some(last_byte) = dir.size.checked_sub(1) else {
        return Ok(None);
    };
    let last = last_byte.wrapping_shr(sb.block_bits());
    let last = i32::try_from(last).map_err(|_| Defect::DirTooBig)?;
    let last = last.unsigned_abs();

    // Invariant: blocks below `low` contain only smaller names, blocks from `high` on only greater
    // ones.
    let mut low = 0;
    let mut high = last.saturating_add(1);
    while low < high {
        let middle = halfway(low, high);
        let held = src.block(middle)?;
        let block = DirBlock::new(valid_part(sb, dir, middle, &held)?)?;

        let first = block.entry(0)?;
        match compare(name, first.name) {
            Ordering::Less => {
                high = middle;
                continue;
            }
            Ordering::Equal => return Ok(Some(first.into())),
            Ordering::Greater => {}
        }
        // The last name can only save a fetch if another block remains.
        if middle.saturating_add(1) < high {
            let tail = block.entry(block.len().saturating_sub(1))?;
            match compare(name, tail.name) {
                Ordering::Greater => {
                    low = middle.saturating_add(1);
                    continue;
                }
                Ordering::Equal => return Ok(Some(tail.into())),
                Ordering::Less => {}
            }
        }
        return Ok(search(&block, name)?);
    }
    Ok(None)
}

/// Searches the entries after the first.
#[inline]
fn search(block: &DirBlock<'_>, name: &[u8]) -> Result<Option<Found>, Defect> {
    let mut low = 1;
    let mut high = block.len();
    while low < high {
        let middle = halfway(low, high);
        let dirent = block.entry(middle)?;
        match compare(name, dirent.name) {
            Ordering::Less => high = middle,
            Ordering::Equal => return Ok(Some(dirent.into())),
            Ordering::Greater => low = middle.saturating_add(1),
        }
    }
    Ok(None)
}

/// Middle of `low..high`, the lower of two as in the C driver. In an unsorted directory it
/// determines which names are found.
#[inline]
fn halfway(low: u32, high: u32) -> u32 {
    let last = high.saturating_sub(1);
    low.saturating_add(last.saturating_sub(low) >> 1)
}

/// Compares a wanted name, which contains no NUL, with a stored one, which ends at its first NUL.
#[inline]
fn compare(wanted: &[u8], found: &[u8]) -> Ordering {
    match wanted.cmp(found) {
        // NUL sorts before every byte of a wanted name, so only a NUL directly after the last equal
        // byte changes the result.
        Ordering::Less if found.get(wanted.len()) == Some(&0) && found.starts_with(wanted) => {
            Ordering::Equal
        }
        order => order,
    }
}

/// Part of block `index` that is within the directory's size.
#[inline]
fn valid_part<'a>(
    sb: &SuperBlock,
    dir: &Inode,
    index: u32,
    block: &'a [u8],
) -> Result<&'a [u8], Defect> {
    let start = u64::from(index).wrapping_shl(sb.block_bits());
    let len = dir
        .size
        .saturating_sub(start)
        .min(u64::from(sb.block_size()));
    block.get(..len as usize).ok_or(Defect::DirBlockShort)
}
