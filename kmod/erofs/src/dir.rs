// SPDX-License-Identifier: GPL-2.0

//! Directory blocks and their entries (docs/spec/erofs-format.md section 6).

use core::mem::size_of_val;
use core::slice;

use zerocopy::FromBytes;

use crate::{raw, Defect};

/// Size of an entry without its name, in bytes.
pub const DIRENT_SIZE: u32 = 12;
/// Maximum name length, in bytes.
pub const NAME_MAX: usize = 255;

/// Type of an inode according to a directory entry, not checked against the inode. The discriminant
/// is the `DT_*` number of `getdents(2)`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Unspecified, or an unknown number.
    Unknown = 0,
    /// Regular file.
    Regular = 8,
    /// Directory.
    Directory = 4,
    /// Character device.
    CharDevice = 2,
    /// Block device.
    BlockDevice = 6,
    /// Named pipe.
    Fifo = 1,
    /// Socket.
    Socket = 12,
    /// Symbolic link.
    Symlink = 10,
}

impl FileType {
    /// Types indexed by their byte on disk.
    const BY_BYTE: [Self; 8] = [
        Self::Unknown,
        Self::Regular,
        Self::Directory,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Socket,
        Self::Symlink,
    ];

    /// Converts the byte on disk.
    #[inline]
    pub fn from_disk(byte: u8) -> Self {
        let known = Self::BY_BYTE.get(usize::from(byte)).copied();
        known.unwrap_or(Self::Unknown)
    }

    /// `d_type` for `getdents(2)`: a `DT_*` number.
    #[inline]
    pub const fn dtype(self) -> u8 {
        self as u8
    }
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// Inode number.
    pub nid: u64,
    /// Type of the inode according to the entry.
    pub file_type: FileType,
    /// Name of 1 to 255 bytes. NUL and '/' are not rejected here.
    pub name: &'a [u8],
    /// Byte offset of the entry in its block, which determines its position in the directory.
    pub offset: u32,
}

/// A directory block with a valid number of entries.
#[derive(Clone, Copy, Debug)]
pub struct DirBlock<'a> {
    bytes: &'a [u8],
    /// Entry headers; at least one.
    heads: &'a [raw::Dirent],
}

impl<'a> DirBlock<'a> {
    /// Parses the valid bytes of a block: all of it or, for the last block, the part within the
    /// directory's size.
    ///
    /// # Errors
    ///
    /// [`Defect::DirBlockShort`], [`Defect::DirentCount`].
    #[inline]
    pub fn new(block: &'a [u8]) -> Result<Self, Defect> {
        let (first, _) = raw::Dirent::ref_from_prefix(block).map_err(|_| Defect::DirBlockShort)?;
        // The first name begins at the end of the entries.
        let names = usize::from(first.nameoff.get());
        let heads = block.get(..names).filter(|_| names < block.len());
        let heads = heads.and_then(|heads| <[raw::Dirent]>::ref_from_bytes(heads).ok());
        match heads {
            Some(heads) if !heads.is_empty() => Ok(Self {
                bytes: block,
                heads,
            }),
            _ => Err(Defect::DirentCount),
        }
    }

    /// Number of entries, at least 1.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.heads.len() as u32
    }

    /// Returns entry `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// [`Defect::NameOffset`], [`Defect::NameLength`]; the former also when `index` is beyond the
    /// last entry.
    #[inline]
    pub fn entry(&self, index: u32) -> Result<Dirent<'a>, Defect> {
        let mut heads = self.heads.get(index as usize..).unwrap_or_default().iter();
        let head = heads.next().ok_or(Defect::NameOffset)?;
        self.finish(head, heads.as_slice().first(), index)
    }

    /// Iterates over the entries from byte `offset` of the block, rounded up to an entry.
    #[inline]
    pub fn entries_from(&self, offset: u32) -> Entries<'a> {
        let index = offset.div_ceil(DIRENT_SIZE);
        Entries {
            block: *self,
            index,
            heads: self.heads.get(index as usize..).unwrap_or_default().iter(),
        }
    }

    /// Locates and checks the name of entry `index` with header `head`. The name ends at that of
    /// `next` (docs/spec/erofs-format.md section 6.2).
    #[inline]
    fn finish(
        &self,
        head: &raw::Dirent,
        next: Option<&raw::Dirent>,
        index: u32,
    ) -> Result<Dirent<'a>, Defect> {
        let start = usize::from(head.nameoff.get());
        if start < size_of_val(self.heads) {
            return Err(Defect::NameOffset);
        }
        let rest = self.bytes.get(start..).ok_or(Defect::NameOffset)?;
        let name = match next {
            Some(next) => {
                let len = usize::from(next.nameoff.get())
                    .checked_sub(start)
                    .ok_or(Defect::NameLength)?;
                rest.get(..len).ok_or(Defect::NameOffset)?
            }
            // Bytes beyond the maximum name length are irrelevant.
            None => {
                let rest = rest.get(..=NAME_MAX).unwrap_or(rest);
                let len = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
                rest.get(..len).unwrap_or_default()
            }
        };
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Defect::NameLength);
        }
        Ok(Dirent {
            nid: head.nid.get(),
            file_type: FileType::from_disk(head.file_type),
            name,
            offset: index.wrapping_mul(DIRENT_SIZE),
        })
    }
}

/// Iterator over the entries of a block. Ends after the first invalid one.
#[derive(Clone)]
pub struct Entries<'a> {
    block: DirBlock<'a>,
    /// Index of the next entry.
    index: u32,
    heads: slice::Iter<'a, raw::Dirent>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Dirent<'a>, Defect>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let head = self.heads.next()?;
        let next = self.heads.as_slice().first();
        let dirent = self.block.finish(head, next, self.index);
        if dirent.is_err() {
            self.heads = [].iter();
        }
        self.index = self.index.wrapping_add(1);
        Some(dirent)
    }
}
