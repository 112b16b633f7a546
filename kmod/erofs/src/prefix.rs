// SPDX-License-Identifier: GPL-2.0

//! Long attribute prefixes, shared by the whole image (section 9.4).

use crate::superblock::PrefixLocation;
use crate::{Defect, Error, Source, SuperBlock};

/// Bytes that hold any record: a base index and an infix of up to 255 bytes.
pub const RECORD_MAX: usize = 256;

/// One long prefix: a short prefix, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// Name index of the short prefix; not checked, a bad one never matches.
    pub base_index: u8,
    /// What follows the short prefix, 0 to 255 bytes.
    pub infix: &'a [u8],
}

/// The image's long prefixes, as the mount keeps them.
pub trait PrefixTable {
    /// Prefix `id` (0 to 127), or `None` when there is no such one.
    fn prefix(&self, id: u8) -> Option<Prefix<'_>>;
}

impl PrefixTable for [Prefix<'_>] {
    #[inline]
    fn prefix(&self, id: u8) -> Option<Prefix<'_>> {
        self.get(usize::from(id)).copied()
    }
}

/// The table of an image without long prefixes.
impl PrefixTable for () {
    #[inline]
    fn prefix(&self, _id: u8) -> Option<Prefix<'_>> {
        None
    }
}

/// Reads the records of the table one after another, at mount.
#[derive(Clone, Copy, Debug)]
pub struct PrefixReader {
    location: Option<PrefixLocation>,
}

impl PrefixReader {
    /// Starts at the first record.
    pub fn new(sb: &SuperBlock) -> Self {
        Self {
            location: sb.prefix_location(),
        }
    }

    /// Records not read yet, 0 to 255. Only the first 128 can be named by an
    /// attribute; the others are there to be checked.
    pub fn remaining(&self) -> u8 {
        self.location.map_or(0, |location| location.count)
    }

    /// Reads the next record into `buf`; `None` behind the last one.
    ///
    /// # Errors
    ///
    /// [`Defect::PrefixLength`], or the source's.
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
