// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Little-endian records that remember their fields, so that a test can damage a field by name.

use std::ops::Range;

/// A field of the image: name, location and width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Structure and field, such as `dirent.nameoff`.
    pub field: &'static str,
    /// Device of the field: 0 is the primary, n the n-th extra device.
    pub device: u16,
    /// Byte offset on that device.
    pub offset: u64,
    /// Width in bytes, 1, 2, 4 or 8.
    pub width: u8,
}

/// Location of a field within a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) range: Range<usize>,
}

/// Bytes under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Field>,
}

impl Record {
    pub(super) fn new() -> Self {
        Record::default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn put(&mut self, name: &'static str, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.fields.push(Field {
            name,
            range: start..self.bytes.len(),
        });
    }

    pub(super) fn u8(&mut self, name: &'static str, value: u8) {
        self.put(name, &[value]);
    }

    pub(super) fn u16(&mut self, name: &'static str, value: u16) {
        self.put(name, &value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, name: &'static str, value: u32) {
        self.put(name, &value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, name: &'static str, value: u64) {
        self.put(name, &value.to_le_bytes());
    }

    /// Appends bytes without a field name.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends `count` reserved bytes of value `filler`.
    pub(super) fn reserved(&mut self, count: usize, filler: u8) {
        self.bytes.resize(self.bytes.len() + count, filler);
    }

    /// Appends zeros up to the next multiple of `unit`.
    pub(super) fn align(&mut self, unit: usize) {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(unit), 0);
    }

    /// Appends another record.
    pub(super) fn append(&mut self, other: Record) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        let moved = other.fields.into_iter().map(|field| Field {
            name: field.name,
            range: field.range.start + base..field.range.end + base,
        });
        self.fields.extend(moved);
    }

    /// Copies the part `range`. Fields not completely inside lose their name.
    pub(super) fn slice(&self, range: Range<usize>) -> Record {
        let inside =
            |field: &&Field| range.start <= field.range.start && field.range.end <= range.end;
        let fields = self.fields.iter().filter(inside).map(|field| Field {
            name: field.name,
            range: field.range.start - range.start..field.range.end - range.start,
        });
        Record {
            bytes: self.bytes[range.clone()].to_vec(),
            fields: fields.collect(),
        }
    }
}

impl Record {
    /// A record of zeros, to be filled with [`Record::overlay`].
    pub(super) fn zeros(len: usize) -> Self {
        Record {
            bytes: vec![0; len],
            fields: Vec::new(),
        }
    }

    /// Copies `other` to `offset`, where it must fit.
    pub(super) fn overlay(&mut self, offset: usize, other: Record) {
        self.bytes[offset..offset + other.len()].copy_from_slice(&other.bytes);
        let moved = other.fields.into_iter().map(|field| Field {
            name: field.name,
            range: field.range.start + offset..field.range.end + offset,
        });
        self.fields.extend(moved);
    }
}
