// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An image built field by field from the tables of the specification, independently of the writer.
//!
//! Blocks have 4096 bytes. Block 0 has the superblock, block 1 has 128 inode slots (nid n is at
//! byte 4096 + 32 n), block 2 is the root's directory block, all further blocks are data.

use ondine_model::read::{Fault, Image, Inode, Result, Setup};

pub(crate) const BLOCK: usize = 4096;
pub(crate) const SUPERBLOCK: usize = 1024;
/// Nid of the root.
pub(crate) const ROOT: u16 = 1;

/// Bytes of the image, with methods to change them.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    /// An image of `blocks` blocks with an empty root directory.
    pub(crate) fn new(blocks: usize) -> Self {
        let mut image = Self(vec![0; blocks * BLOCK]);
        image.u32(SUPERBLOCK, 0xe0f5_e1e2);
        image.0[SUPERBLOCK + 12] = 12;
        image.u16(SUPERBLOCK + 14, ROOT);
        image.u32(SUPERBLOCK + 36, blocks as u32);
        image.u32(SUPERBLOCK + 40, 1);
        image.compact(ROOT, 0, 0o040_755, BLOCK as u32, 2);
        image.directory(2, &[(".", ROOT), ("..", ROOT)]);
        image
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn u16(&mut self, at: usize, value: u16) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Byte offset of an inode slot.
    pub(crate) fn slot(nid: u16) -> usize {
        BLOCK + 32 * usize::from(nid)
    }

    /// Writes a compact inode with one link. `start` is its i_u.
    pub(crate) fn compact(
        &mut self,
        nid: u16,
        layout: u16,
        mode: u16,
        size: u32,
        start: u32,
    ) -> &mut Self {
        let at = Self::slot(nid);
        self.u16(at, layout << 1).u16(at + 4, mode).u16(at + 6, 1);
        self.u32(at + 8, size).u32(at + 16, start)
    }

    /// Writes an extended inode with one link. `start` is its i_u, `high` its i_nb.
    pub(crate) fn extended(
        &mut self,
        nid: u16,
        layout: u16,
        mode: u16,
        size: u64,
        start: (u32, u16),
    ) -> &mut Self {
        let at = Self::slot(nid);
        self.u16(at, layout << 1 | 1)
            .u16(at + 4, mode)
            .u16(at + 6, start.1);
        self.u64(at + 8, size).u32(at + 16, start.0).u32(at + 44, 1)
    }

    /// Writes a directory block. The names must be sorted.
    pub(crate) fn directory(&mut self, block: usize, entries: &[(&str, u16)]) -> &mut Self {
        let start = block * BLOCK;
        self.0[start..start + BLOCK].fill(0);
        let mut name_at = 12 * entries.len();
        for (k, (name, nid)) in entries.iter().enumerate() {
            let at = start + 12 * k;
            self.u64(at, (*nid).into()).u16(at + 8, name_at as u16);
            self.put(start + name_at, name.as_bytes());
            name_at += name.len();
        }
        self
    }

    pub(crate) fn open(&self) -> Result<Image> {
        Image::open(self.0.clone(), Setup::default())
    }

    pub(crate) fn open_with(&self, devices: &[&Bytes]) -> Result<Image> {
        let mut setup = Setup::default();
        for device in devices {
            setup.devices.push(Box::new(device.0.clone()));
        }
        Image::open(self.0.clone(), setup)
    }

    /// Opens the image and loads an inode.
    pub(crate) fn inode(&self, nid: u16) -> (Image, Result<Inode>) {
        let image = self.open().expect("it mounts");
        let inode = image.inode(nid.into());
        (image, inode)
    }

    /// Reads all data of an inode.
    pub(crate) fn content(&self, nid: u16) -> Result<Vec<u8>> {
        let (image, inode) = self.inode(nid);
        read(&image, &inode?)
    }
}

pub(crate) fn read(image: &Image, inode: &Inode) -> Result<Vec<u8>> {
    let mut out = vec![0xee; usize::try_from(inode.size).expect("a small file")];
    image.read(inode, 0, &mut out)?;
    Ok(out)
}

/// The defect by which an operation failed.
pub(crate) fn row<T>(result: Result<T>) -> ondine_model::strictness::Defect {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(Fault { defect, why, .. }) => defect.unwrap_or_else(|| panic!("no defect: {why}")),
    }
}
