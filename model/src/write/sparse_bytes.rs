// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sparse bytes of one device: a device of two terabytes with a few blocks in use takes a few
//! pages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::observation::Errno;
use crate::read;

const PAGE: u64 = 1 << 12;

/// A sparse array of bytes. Bytes never written are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseBytes {
    pages: BTreeMap<u64, Box<[u8]>>,
    len: u64,
}

impl SparseBytes {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Truncates or extends to `len` bytes. Truncated bytes are lost: extending again yields zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            if let Some(last) = self.pages.get_mut(&(len / PAGE)) {
                last[(len % PAGE) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    /// Writes `bytes` at `offset`, and extends the length if needed.
    ///
    /// # Panics
    /// When the end is beyond 2^64.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset
            .checked_add(bytes.len() as u64)
            .expect("an end below 2^64");
        self.len = self.len.max(end);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE as usize - within));
            let page = self
                .pages
                .entry(at / PAGE)
                .or_insert_with(|| vec![0; PAGE as usize].into_boxed_slice());
            page[within..within + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Fills `out` with the bytes at `offset`. Bytes beyond the end are zero.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) {
        out.fill(0);
        let mut done = 0;
        while done < out.len() {
            let Some(at) = offset.checked_add(done as u64) else {
                return;
            };
            let within = (at % PAGE) as usize;
            let take = (out.len() - done).min(PAGE as usize - within);
            if let Some(page) = self.pages.get(&(at / PAGE)) {
                out[done..done + take].copy_from_slice(&page[within..within + take]);
            }
            done += take;
        }
    }

    /// Returns `count` bytes at `offset`, as [`SparseBytes::read_at`].
    pub fn bytes(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut out = vec![0; count];
        self.read_at(offset, &mut out);
        out
    }

    /// Returns all bytes. For small devices only.
    ///
    /// # Panics
    /// When the length does not fit in memory.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(
            0,
            usize::try_from(self.len).expect("a store that fits in memory"),
        )
    }

    /// Writes the bytes to `file`, with holes for bytes never written.
    ///
    /// # Errors
    /// Errors of ftruncate(2) and pwrite(2); EFBIG if the file system does not support the length.
    pub fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.set_len(self.len)?;
        for (number, page) in &self.pages {
            let start = number * PAGE;
            let count = (self.len - start).min(PAGE) as usize;
            file.write_all_at(&page[..count], start)?;
        }
        Ok(())
    }
}

impl From<&[u8]> for SparseBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut store = SparseBytes::default();
        store.write_at(0, bytes);
        store
    }
}

/// A store stands in for a device of the model's reader.
impl read::DeviceBytes for SparseBytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        SparseBytes::read_at(self, at, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_across_pages_and_gaps() {
        let mut store = SparseBytes::default();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8 | 1).collect();
        store.write_at(1 << 41, &bytes);
        store.write_at(5, b"abc");
        assert_eq!(store.len(), (1 << 41) + 10_000);
        assert_eq!(store.bytes(1 << 41, 10_000), bytes);
        assert_eq!(store.bytes(4, 5), b"\0abc\0");
        store.set_len(6);
        store.set_len(9);
        assert_eq!(store.to_vec(), b"\0\0\0\0\0a\0\0\0");
    }
}
