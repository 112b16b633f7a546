// SPDX-License-Identifier: GPL-2.0

//! Directory blocks: which names one holds (section 6).

use crate::Defect;

/// Bytes of an entry, without its name.
pub const DIRENT_SIZE: u32 = 12;
/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;

/// The type that a directory entry claims for its inode; never compared with
/// the inode's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Not told, or a number that means nothing.
    Unknown,
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Symbolic link.
    Symlink,
}

impl FileType {
    /// From the byte on disk.
    #[inline]
    pub const fn from_disk(byte: u8) -> Self {
        match byte {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::CharDevice,
            4 => Self::BlockDevice,
            5 => Self::Fifo,
            6 => Self::Socket,
            7 => Self::Symlink,
            _ => Self::Unknown,
        }
    }

    /// The `d_type` of `getdents(2)`: a `DT_*` number.
    #[inline]
    pub const fn dtype(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// The inode.
    pub nid: u64,
    /// What the inode is said to be.
    pub file_type: FileType,
    /// The name, 1 to 255 bytes; a NUL or a '/' in it is not refused here.
    pub name: &'a [u8],
    /// Byte offset of the entry in its block: its position in the directory.
    pub offset: u32,
}

/// The bytes of an entry.
#[derive(Clone, Copy)]
struct Head {
    nid: u64,
    nameoff: u16,
    file_type: u8,
}

/// A directory block with a possible number of entries.
#[derive(Clone, Copy, Debug)]
pub struct DirBlock<'a> {
    bytes: &'a [u8],
    /// Bytes of all entries, a multiple of 12 and not 0: also the first offset
    /// that a name can have.
    names: u32,
}

impl<'a> DirBlock<'a> {
    /// Takes the valid bytes of a block: a whole block, or what the directory's
    /// size leaves of its last one.
    ///
    /// # Errors
    ///
    /// [`Defect::DirBlockShort`], [`Defect::DirentCount`].
    #[inline]
    pub fn new(block: &'a [u8]) -> Result<Self, Defect> {
        let head = head_at(block, 0).ok_or(Defect::DirBlockShort)?;
        let names = u32::from(head.nameoff);
        if names == 0 || names % DIRENT_SIZE != 0 || names as usize >= block.len() {
            return Err(Defect::DirentCount);
        }
        Ok(Self {
            bytes: block,
            names,
        })
    }

    /// Number of entries, 1 or more.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.names / DIRENT_SIZE
    }

    /// Entry `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// [`Defect::NameOffset`], [`Defect::NameLength`]; the former also when
    /// `index` is past the last entry.
    #[inline]
    pub fn entry(&self, index: u32) -> Result<Dirent<'a>, Defect> {
        let offset = index
            .checked_mul(DIRENT_SIZE)
            .filter(|offset| *offset < self.names)
            .ok_or(Defect::NameOffset)?;
        let head = head_at(self.bytes, offset).ok_or(Defect::NameOffset)?;
        self.finish(head, offset, self.head_after(offset))
    }

    /// The entries from `offset` bytes into the block on, `offset` rounded up
    /// to an entry.
    #[inline]
    pub fn entries_from(&self, offset: u32) -> Entries<'a> {
        let offset = offset.div_ceil(DIRENT_SIZE).saturating_mul(DIRENT_SIZE);
        Entries {
            block: *self,
            offset,
            head: self.head_in(offset),
        }
    }

    /// The entry at `offset`, if there is one.
    #[inline]
    fn head_in(&self, offset: u32) -> Option<Head> {
        if offset < self.names {
            head_at(self.bytes, offset)
        } else {
            None
        }
    }

    /// The entry behind the one at `offset`, if there is one.
    #[inline]
    fn head_after(&self, offset: u32) -> Option<Head> {
        self.head_in(offset.saturating_add(DIRENT_SIZE))
    }

    /// Finds and checks the name of `head`, which ends where that of `next`
    /// begins (section 6.2).
    #[inline]
    fn finish(&self, head: Head, offset: u32, next: Option<Head>) -> Result<Dirent<'a>, Defect> {
        let start = u32::from(head.nameoff);
        if start < self.names {
            return Err(Defect::NameOffset);
        }
        let rest = self.bytes.get(start as usize..).ok_or(Defect::NameOffset)?;
        let name = match next {
            Some(next) => {
                let len = u32::from(next.nameoff)
                    .checked_sub(start)
                    .ok_or(Defect::NameLength)?;
                rest.get(..len as usize).ok_or(Defect::NameOffset)?
            }
            // More than the longest name need not be looked through.
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
            nid: head.nid,
            file_type: FileType::from_disk(head.file_type),
            name,
            offset,
        })
    }
}

/// The entries of a block, in order; it ends behind the first bad one.
#[derive(Clone)]
pub struct Entries<'a> {
    block: DirBlock<'a>,
    offset: u32,
    /// The entry at `offset`.
    head: Option<Head>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Dirent<'a>, Defect>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let head = self.head?;
        let next = self.block.head_after(self.offset);
        let dirent = self.block.finish(head, self.offset, next);
        self.head = if dirent.is_ok() { next } else { None };
        self.offset = self.offset.saturating_add(DIRENT_SIZE);
        Some(dirent)
    }
}

/// The bytes of the entry at `offset`.
#[inline]
fn head_at(block: &[u8], offset: u32) -> Option<Head> {
    let [n0, n1, n2, n3, n4, n5, n6, n7, o0, o1, file_type, _] =
        *block.get(offset as usize..)?.first_chunk::<12>()?;
    Some(Head {
        nid: u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
        nameoff: u16::from_le_bytes([o0, o1]),
        file_type,
    })
}
