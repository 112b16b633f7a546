// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Bytes of an inode: body, extended attributes, and tail or chunk map (docs/spec/erofs-format.md
//! section 4).

use super::allocate::Allocation;
use super::item::{map_unit, Item};
use super::options::ImageOptions;
use super::record::Record;
use super::resolve::{has_unified, Body};
use super::WriteError;
use crate::tree::{ChunkMap, Chunks, DeviceNumber, InodeForm, Kind};

/// On-disk encoding of a device number (docs/spec/erofs-format.md section 8).
fn device_code(number: DeviceNumber) -> u32 {
    let DeviceNumber { major, minor } = number;
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// Number of the data layout in `i_format`.
fn layout_code(body: &Body) -> u16 {
    match body {
        Body::Empty | Body::Null | Body::Plain(_) => 0,
        Body::Inline { .. } => 2,
        Body::Chunked(_) => 4,
    }
}

fn chunk_format(chunks: &Chunks) -> u32 {
    let map = match chunks.map {
        ChunkMap::Blocks => 0,
        ChunkMap::Indexes => 0x20,
        ChunkMap::Indexes48 => 0x60,
    };
    map | u32::from(chunks.bits)
}

/// Context for translating blocks of a device to addresses of the image.
pub(super) struct Encoder<'a> {
    pub(super) options: &'a ImageOptions,
    pub(super) allocation: &'a Allocation,
}

impl Encoder<'_> {
    fn unified(&self, device: u16, block: u64) -> u64 {
        match device {
            0 => block,
            _ => self.allocation.unified[usize::from(device) - 1] + block,
        }
    }

    /// Start address of 48 bits; all ones if null.
    fn start(&self, item: &Item<'_>) -> u64 {
        match item.body {
            Body::Null => (1 << 48) - 1,
            Body::Plain(device) => self.unified(device, item.start),
            Body::Inline { device, tail } if item.size > tail => self.unified(device, item.start),
            _ => 0,
        }
    }

    /// The 32 bits of `i_u` and the high 16 bits of the start address.
    fn union(&self, item: &Item<'_>) -> (u32, u16) {
        let reserved = u32::from(self.options.filler()) * 0x0101;
        match (&item.body, item.node.map(|(_, node)| &node.kind)) {
            (_, Some(Kind::Character(number) | Kind::Block(number))) => (device_code(*number), 0),
            (Body::Chunked(chunks), _) => (chunk_format(chunks) | reserved << 16, 0),
            _ => {
                let start = self.start(item);
                (start as u32, (start >> 32) as u16)
            }
        }
    }

    /// Encodes inode, extended attributes, and tail or chunk map. `number` is the inode number,
    /// which readers ignore.
    pub(super) fn inode(&self, item: &Item<'_>, number: u32) -> Result<Record, WriteError> {
        let mut record = Record::new();
        self.body(&mut record, item, number)?;
        record.append(item.xattrs.clone());
        match &item.body {
            Body::Inline { tail, .. } => {
                record.append(item.read(item.size - tail, *tail as usize));
            }
            Body::Chunked(chunks) => {
                // Inodes are aligned to 32 bytes, so alignment within the record is alignment in
                // the image.
                record.align(map_unit(chunks.map) as usize);
                for (index, block) in item.chunks.iter().enumerate() {
                    let device = chunks.devices[index % chunks.devices.len()];
                    self.chunk(&mut record, chunks, device, *block)?;
                }
            }
            Body::Empty | Body::Null | Body::Plain(_) => {}
        }
        Ok(record)
    }

    fn body(&self, record: &mut Record, item: &Item<'_>, number: u32) -> Result<(), WriteError> {
        let extended = item.form == InodeForm::Extended;
        let one_link = item.form == InodeForm::CompactOneLink;
        let (union, high) = self.union(item);
        let null = item.body == Body::Null;
        if item.form == InodeForm::Compact && high != 0 && !null {
            return Err(WriteError::Address(self.start(item)));
        }
        let format = u16::from(extended)
            | layout_code(&item.body) << 1
            | u16::from(item.dot_omitted || one_link) << 4;
        let icount = match item.xattrs.len() {
            0 => 0,
            area => ((area - 12) / 4 + 1) as u16,
        };
        let mode = item.node.map_or(0o100_600, |(_, node)| node.mode());
        let (uid, gid) = item.node.map_or((0, 0), |(_, node)| (node.uid, node.gid));
        let mtime = item
            .node
            .map_or(self.default_time(), |(_, node)| node.mtime);
        let filler = self.options.filler();
        record.u16("inode.format", format);
        record.u16("inode.xattr_icount", icount);
        record.u16("inode.mode", mode);
        record.u16(
            "inode.nb",
            if extended || one_link {
                high
            } else {
                item.links as u16
            },
        );
        if extended {
            record.u64("inode.size", item.size);
        } else {
            record.u32("inode.size", item.size as u32);
            record.u32("inode.mtime", (mtime.seconds - self.options.epoch) as u32);
        }
        record.u32("inode.u", union);
        record.u32("inode.ino", if filler == 0 { number } else { 0x5a5a_5a5a });
        if extended {
            record.u32("inode.uid", uid);
            record.u32("inode.gid", gid);
            record.u64("inode.mtime", mtime.seconds as u64);
            record.u32("inode.mtime_nsec", mtime.nanoseconds);
            record.u32("inode.nlink", item.links);
            record.reserved(16, filler);
        } else {
            record.u16("inode.uid", uid as u16);
            record.u16("inode.gid", gid as u16);
            record.reserved(4, filler);
        }
        Ok(())
    }

    fn default_time(&self) -> crate::tree::Time {
        crate::tree::Time {
            seconds: self.options.epoch,
            nanoseconds: self.options.fixed_nsec,
        }
    }

    fn chunk(
        &self,
        record: &mut Record,
        chunks: &Chunks,
        device: u16,
        block: Option<u64>,
    ) -> Result<(), WriteError> {
        let by_address = device == 0 || (chunks.unified && has_unified(device, self.options));
        let (id, address) = match block {
            None => (0, (1 << 48) - 1),
            Some(block) if by_address => (0, self.unified(device, block)),
            Some(block) => (device, block),
        };
        if block.is_some() && chunks.map != ChunkMap::Indexes48 && address >= 0xffff_ffff {
            return Err(WriteError::Address(address));
        }
        if chunks.map == ChunkMap::Blocks {
            record.u32("chunk.block", address as u32);
            return Ok(());
        }
        let high = match chunks.map {
            ChunkMap::Indexes48 => (address >> 32) as u16,
            _ => u16::from(self.options.filler()),
        };
        record.u16("chunk.block_hi", high);
        record.u16("chunk.device", id);
        record.u32("chunk.block_lo", address as u32);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_keep_their_high_minor_bits() {
        let code = |major, minor| device_code(DeviceNumber { major, minor });
        assert_eq!(code(8, 1), 0x801);
        assert_eq!(code(0xfff, 0xf_ffff), 0xffff_ffff);
        assert_eq!(code(1, 0x100), 0x10_0100);
    }
}
