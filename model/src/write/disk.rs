// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Devices under construction.

use super::allocate::{Allocation, Extent};
use super::item::Item;
use super::options::ImageOptions;
use super::record::{Record, Site};
use super::sparse_bytes::SparseBytes;

/// Contents are copied in pieces of this many bytes. Pieces that are holes are not written.
const PIECE: u64 = 1 << 16;

/// All devices, and the sites of all fields written.
pub(super) struct Disk<'a> {
    options: &'a ImageOptions,
    allocation: &'a Allocation,
    pub(super) stores: Vec<SparseBytes>,
    pub(super) sites: Vec<Site>,
}

impl<'a> Disk<'a> {
    pub(super) fn new(options: &'a ImageOptions, allocation: &'a Allocation) -> Self {
        let block = options.block_size();
        let mut stores = vec![
            SparseBytes::default();
            if options.flat {
                1
            } else {
                allocation.blocks.len()
            }
        ];
        for (store, blocks) in stores.iter_mut().zip(&allocation.blocks) {
            store.set_len(blocks * block);
        }
        if options.flat {
            let ends = allocation.unified.iter().zip(&allocation.blocks[1..]);
            let end = ends.map(|(start, blocks)| start + blocks).max();
            let primary = stores[0].len();
            stores[0].set_len(primary.max(end.unwrap_or(0) * block));
        }
        Disk {
            options,
            allocation,
            stores,
            sites: Vec::new(),
        }
    }

    /// Translates byte `offset` of `device` to a store and an offset in it.
    fn place(&self, device: u16, offset: u64) -> (u16, u64) {
        match (device, self.options.flat) {
            (0, _) | (_, false) => (device, offset),
            (_, true) => {
                let start = self.allocation.unified[usize::from(device) - 1];
                (0, start * self.options.block_size() + offset)
            }
        }
    }

    /// Writes a record at byte `offset` of `device`.
    pub(super) fn put(&mut self, device: u16, offset: u64, record: &Record) {
        let (device, offset) = self.place(device, offset);
        self.stores[usize::from(device)].write_at(offset, &record.bytes);
        self.sites.extend(record.fields.iter().map(|field| Site {
            field: field.name,
            device,
            offset: offset + field.range.start as u64,
            width: field.range.len() as u8,
        }));
    }

    /// Writes the bytes of an extent and, if requested, garbage after the end of a file.
    pub(super) fn fill(&mut self, extent: &Extent, item: &Item<'_>) {
        let start = extent.block * self.options.block_size();
        let mut done = 0;
        while done < extent.len {
            let count = (extent.len - done).min(PIECE);
            let from = extent.offset + done;
            if !item.payload.is_hole(from..from + count) {
                self.put(
                    extent.device,
                    start + done,
                    &item.read(from, count as usize),
                );
            }
            done += count;
        }
        let spare = extent.len.next_multiple_of(self.options.block_size()) - extent.len;
        if self.options.dirty_tails && item.is_file() && spare > 0 {
            let mut dirt = Record::new();
            dirt.reserved(spare as usize, 0xa5);
            self.put(extent.device, start + extent.len, &dirt);
        }
    }
}
