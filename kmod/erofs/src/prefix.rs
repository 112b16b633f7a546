// SPDX-License-Identifier: GPL-2.0

//! Long attribute prefixes, shared by the whole image (docs/spec/erofs-format.md section 9.4).

use crate::superblock::PrefixLocation;
use crate::{Defect, Error, Source, SuperBlock};

/// Maximum size of a record: a base index and an infix of up to 255 bytes.
pub const RECORD_MAX: usize = 256;

/// A long prefix: a short prefix and an infix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// Name index of the short prefix. Not checked: an invalid one never matches.
    pub base_index: u8,
    /// Bytes after the short prefix, 0 to 255.
    pub infix: &'a [u8],
}

/// Long prefixes of an image, as the mount stores them.
pub trait PrefixTable {
    /// Returns prefix `id` (0 to 127); `None` if it does not exist.
    fn prefix(&self, id: u8) -> Option<Prefix<'_>>;
}

impl PrefixTable for [Prefix<'_>] {
    #[inline]
    fn prefix(&self, id: u8) -> Option<Prefix<'_>> {
        self.get(usize::from(id)).copied()
    }
}

/// Table of an image without long prefixes.
impl PrefixTable for () {
    #[inline]
    fn prefix(&self, _id: u8) -> Option<Prefix<'_>> {
        None
    }
}

/// Reader of the table's records at mount.
#[derive(Clone, Copy, Debug)]
pub struct PrefixReader {
    location: Option<PrefixLocation>,
}

impl PrefixReader {
    /// Creates a reader at the first record.
    pub fn new(sb: &SuperBlock) -> Self {
        Self {
            location: sb.prefix_location(),
        }
    }

    /// Number of records not yet read, 0 to 255. Attributes can only refer to the first 128; the
    /// others are read to be checked.
    pub fn remaining(&self) -> u8 {
        self.location.map_or(0, |location| location.count)
    }

    /// Reads the next record into `buf`; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`Defect::PrefixLength`], or errors of the source.
    pub fn next<'b, S: Source>(
        &mut self,
        src: &S,
        buf: &'b mut [u8; RECORD_MAX],
    ) -> Result<Option<Prefix<'b>>, Error<S::Error>> {
        let Some(location) = self.location else {
            return Ok(None);
        };
        let mut length = [0; 2];
        src.read(location.space, location.offset, &mut length)?;
        let length = u16::from_le_bytes(length);
        let record = buf
            .get_mut(..usize::from(length))
            .filter(|record| !record.is_empty())
            .ok_or(Defect::PrefixLength)?;
        // 34 bits of start and 255 records of at most 260 bytes: no overflow.
        let body = location.offset.wrapping_add(2);
        src.read(location.space, body, record)?;

        let end = body.wrapping_add(u64::from(length));
        self.location = location.count.checked_sub(1).and_then(|count| {
            (count != 0).then_some(PrefixLocation {
                offset: end.wrapping_add(3) & !3,
                count,
                ..location
            })
        });
        Ok(record.split_first().map(|(base_index, infix)| Prefix {
            base_index: *base_index,
            infix,
        }))
    }
}
