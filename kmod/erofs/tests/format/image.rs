// SPDX-License-Identifier: GPL-2.0

//! Images of a few bytes, built field by field.

use ondine_erofs::{Defect, Error, Inode, Source, Space, SuperBlock};

pub(crate) const PAGE: u32 = 4096;

/// An image with separate bytes for each space.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) primary: Vec<u8>,
    pub(crate) metabox: Vec<u8>,
    pub(crate) packed: Vec<u8>,
}

impl Image {
    /// A valid superblock with blocks of `1 << bits` bytes and nid 0 at byte 0, in `len` bytes of
    /// image.
    pub(crate) fn new(bits: u8, len: usize) -> Self {
        let mut image = Self {
            primary: vec![0; len],
            metabox: Vec::new(),
            packed: Vec::new(),
        };
        image.put(1024, &0xe0f5_e1e2u32.to_le_bytes());
        image.put(1024 + 12, &[bits]);
        image
    }

    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.primary[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Writes bytes into the superblock.
    pub(crate) fn sb(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.put(1024 + offset, bytes)
    }

    pub(crate) fn compat(&mut self, bits: u32) -> &mut Self {
        self.sb(8, &bits.to_le_bytes())
    }

    pub(crate) fn incompat(&mut self, bits: u32) -> &mut Self {
        self.sb(80, &bits.to_le_bytes())
    }

    pub(crate) fn parse(&self) -> Result<SuperBlock, Defect> {
        SuperBlock::parse(&self.primary, PAGE)
    }

    pub(crate) fn super_block(&self) -> SuperBlock {
        self.parse().expect("the superblock is valid")
    }

    pub(crate) fn inode(&self, nid: u64) -> Result<Inode, Error<()>> {
        Inode::read(self, &self.super_block(), nid)
    }

    pub(crate) fn space(&self, space: Space) -> &[u8] {
        match space {
            Space::Primary => &self.primary,
            Space::Metabox => &self.metabox,
            Space::Packed => &self.packed,
        }
    }
}

impl Source for Image {
    type Error = ();

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<()>> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.space(space).get(offset..))
            .and_then(|tail| tail.get(..buf.len()))
            .ok_or(Defect::OutsideImage)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

/// The fields of an inode under construction.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) format: u16,
    pub(crate) icount: u16,
    pub(crate) mode: u16,
    pub(crate) nb: u16,
    pub(crate) size: u64,
    pub(crate) u: u32,
    pub(crate) mtime: i64,
    pub(crate) nsec: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
}

pub(crate) const PLAIN: u16 = 0;
pub(crate) const INLINE: u16 = 2 << 1;
pub(crate) const CHUNKED: u16 = 4 << 1;
pub(crate) const EXTENDED: u16 = 1;
pub(crate) const BIT4: u16 = 0x10;
pub(crate) const REG: u16 = 0o100_644;
pub(crate) const DIR: u16 = 0o040_755;
pub(crate) const LNK: u16 = 0o120_777;

impl Node {
    pub(crate) fn new(format: u16, mode: u16, size: u64) -> Self {
        Self {
            format,
            icount: 0,
            mode,
            nb: 1,
            size,
            u: 0,
            mtime: 0,
            nsec: 0,
            uid: 0,
            gid: 0,
            nlink: 1,
        }
    }

    /// Bytes of the inode, 32 or 64.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for half in [self.format, self.icount, self.mode, self.nb] {
            out.extend(half.to_le_bytes());
        }
        if self.format & EXTENDED != 0 {
            out.extend(self.size.to_le_bytes());
            out.extend(self.u.to_le_bytes());
            out.extend([0xee; 4]);
            out.extend(self.uid.to_le_bytes());
            out.extend(self.gid.to_le_bytes());
            out.extend(self.mtime.to_le_bytes());
            out.extend(self.nsec.to_le_bytes());
            out.extend(self.nlink.to_le_bytes());
            out.extend([0xee; 16]);
        } else {
            out.extend((self.size as u32).to_le_bytes());
            out.extend((self.mtime as u32).to_le_bytes());
            out.extend(self.u.to_le_bytes());
            out.extend([0xee; 4]);
            out.extend((self.uid as u16).to_le_bytes());
            out.extend((self.gid as u16).to_le_bytes());
            out.extend([0xee; 4]);
        }
        out
    }
}

/// Bytes of a directory block with entries (nid, type, name), names in order.
pub(crate) fn dir_block(entries: &[(u64, u8, &[u8])]) -> Vec<u8> {
    let mut nameoff = entries.len() * 12;
    let mut out = Vec::new();
    for (nid, kind, name) in entries {
        out.extend(nid.to_le_bytes());
        out.extend((nameoff as u16).to_le_bytes());
        out.extend([*kind, 0xee]);
        nameoff += name.len();
    }
    for (_, _, name) in entries {
        out.extend(*name);
    }
    out
}
