// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Contents of a regular file, described rather than stored, so that large and sparse files are
//! cheap.

use std::ops::Range;

/// A run of a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Literal bytes.
    Data(Vec<u8>),
    /// Bytes never written.
    Hole(u64),
    /// Bytes generated from a seed: see [`Content::read_at`].
    Pattern {
        /// Equal seeds give equal bytes at equal offsets within the segment.
        seed: u64,
        /// Length in bytes.
        len: u64,
    },
}

impl Segment {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Segment::Data(bytes) => bytes.len() as u64,
            Segment::Hole(len) | Segment::Pattern { len, .. } => *len,
        }
    }

    /// True if the segment has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) {
        match self {
            Segment::Data(bytes) => {
                let start = offset as usize;
                out.copy_from_slice(&bytes[start..start + out.len()]);
            }
            Segment::Hole(_) => out.fill(0),
            Segment::Pattern { seed, .. } => fill_pattern(*seed, offset, out),
        }
    }
}

/// Contents of a regular file: consecutive segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    segments: Vec<Segment>,
}

impl Content {
    /// A file of these segments. Empty segments are dropped.
    pub fn new(segments: Vec<Segment>) -> Self {
        Content {
            segments: segments
                .into_iter()
                .filter(|segment| !segment.is_empty())
                .collect(),
        }
    }

    /// A file that holds `bytes`.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Content::new(vec![Segment::Data(bytes.into())])
    }

    /// A file of `len` bytes generated from `seed`.
    pub fn pattern(seed: u64, len: u64) -> Self {
        Content::new(vec![Segment::Pattern { seed, len }])
    }

    /// A file that consists of a hole.
    pub fn hole(len: u64) -> Self {
        Content::new(vec![Segment::Hole(len)])
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.segments.iter().map(Segment::len).sum()
    }

    /// True if the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Segments with the byte ranges that they cover.
    pub fn segments(&self) -> impl Iterator<Item = (Range<u64>, &Segment)> {
        let mut start = 0;
        self.segments.iter().map(move |segment| {
            let range = start..start + segment.len();
            start = range.end;
            (range, segment)
        })
    }

    /// Fills `out` with the bytes at `offset`. Bytes beyond the end are zero.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) {
        out.fill(0);
        let wanted = offset..offset + out.len() as u64;
        for (range, segment) in self.segments() {
            let from = range.start.max(wanted.start);
            let to = range.end.min(wanted.end);
            if from < to {
                let place = (from - offset) as usize..(to - offset) as usize;
                segment.read_at(from - range.start, &mut out[place]);
            }
        }
    }

    /// True if no byte of `range` was written. Bytes beyond the end count as not written.
    pub fn is_hole(&self, range: Range<u64>) -> bool {
        self.segments().all(|(covered, segment)| {
            matches!(segment, Segment::Hole(_))
                || covered.end <= range.start
                || range.end <= covered.start
        })
    }
}

/// Generates the infinite pattern of `seed` from `offset`: the words of a splitmix64 counter.
fn fill_pattern(seed: u64, offset: u64, out: &mut [u8]) {
    let mut position = offset;
    let mut rest = out;
    while !rest.is_empty() {
        let word = mix(seed ^ (position / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes();
        let skip = (position % 8) as usize;
        let take = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(take);
        now.copy_from_slice(&word[skip..skip + take]);
        position += take as u64;
        rest = later;
    }
}

/// The finaliser of splitmix64: a bijection of 64 bits with good diffusion.
pub(crate) fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_across_segments_equals_reads_of_single_bytes() {
        let content = Content::new(vec![
            Segment::Pattern { seed: 7, len: 21 },
            Segment::Hole(5),
            Segment::Data(b"hello".to_vec()),
        ]);
        assert_eq!(content.len(), 31);
        let mut whole = vec![0; 40];
        content.read_at(0, &mut whole);
        for (index, byte) in whole.iter().enumerate() {
            let mut one = [0xff];
            content.read_at(index as u64, &mut one);
            assert_eq!(one[0], *byte, "byte {index}");
        }
        assert_eq!(&whole[26..], b"hello\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn holes_are_ranges_never_written() {
        let content = Content::new(vec![Segment::Data(vec![0; 4]), Segment::Hole(8)]);
        assert!(!content.is_hole(0..12));
        assert!(content.is_hole(4..12));
        assert!(content.is_hole(4..40));
    }
}
