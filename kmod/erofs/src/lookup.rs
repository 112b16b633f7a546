// SPDX-License-Identifier: GPL-2.0

//! Lookup: which inode has a name in a directory (section 6.1).

use core::cmp::Ordering;
use core::ops::Deref;

use crate::dir::NAME_MAX;
use crate::{Defect, DirBlock, Dirent, Error, FileType, Inode, SuperBlock};

/// Gives the blocks of one directory.
pub trait DirSource {
    /// A block's bytes, for as long as it is held.
    type Block: Deref<Target = [u8]>;
    /// Why a block could not be read.
    type Error;

    /// Block `index` of the directory's data. It may hold bytes past the
    /// directory's size, which are not looked at, but none less.
    ///
    /// # Errors
    ///
    /// Fails when the block cannot be had.
    fn block(&self, index: u32) -> Result<Self::Block, Error<Self::Error>>;
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The inode.
    pub nid: u64,
    /// What the inode is said to be.
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

/// Looks `name` up in directory `dir`; `None` when it is not there.
///
/// Blocks are halved by their first and last names, so the search ends with the
/// first block that can hold the name. At most two blocks are held at a time.
/// The answer is right for a sorted directory; in another one, names can be
/// missed.
///
/// # Errors
///
/// [`Defect::NameTooLong`], [`Defect::DirTooBig`], and those of [`DirBlock`]
/// for what the search meets.
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

    // Blocks `low..high` are left; all of them are behind what was seen to be
    // too low, and before what was seen to be too high.
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
        // Only when another block is left can the last name save a fetch.
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

/// Searches the entries behind the first.
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

/// The middle of `low..high`, the lower one of two as in the C driver: in a
/// directory out of order it decides which names are found.
#[inline]
fn halfway(low: u32, high: u32) -> u32 {
    let last = high.saturating_sub(1);
    low.saturating_add(last.saturating_sub(low) >> 1)
}

/// Compares a wanted name, which has no NUL, with one on disk, which ends at
/// its first NUL.
#[inline]
fn compare(wanted: &[u8], found: &[u8]) -> Ordering {
    match wanted.cmp(found) {
        // A NUL sorts before all that a wanted name can hold, so it matters
        // only right behind the last byte that is equal.
        Ordering::Less if found.get(wanted.len()) == Some(&0) && found.starts_with(wanted) => {
            Ordering::Equal
        }
        order => order,
    }
}

/// The bytes of block `index` that the directory's size covers.
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
