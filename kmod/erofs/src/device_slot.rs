// SPDX-License-Identifier: GPL-2.0

//! Slots of the device table (docs/spec/erofs-format.md section 3).

use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes as _;

use crate::raw;

/// A slot of the device table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSlot {
    /// Number of blocks according to the image. Not a bound: see [`resolve`](crate::resolve).
    pub blocks: u64,
    /// First block of the device in the unified address space; 0 for none.
    pub uniaddr: u64,
    tag: [u8; 64],
}

impl DeviceSlot {
    /// Parses the bytes of a slot. If `wide` is false, the high words of its addresses are not valid.
    pub(crate) fn parse(bytes: &[u8; 128], wide: bool) -> Self {
        let join = |lo: U32, hi: U16| {
            let hi = if wide { u64::from(hi.get()) } else { 0 };
            u64::from(lo.get()) | hi << 32
        };
        match raw::DeviceSlot::ref_from_bytes(bytes) {
            Ok(raw) => Self {
                blocks: join(raw.blocks_lo, raw.blocks_hi),
                uniaddr: join(raw.uniaddr_lo, raw.uniaddr_hi),
                tag: raw.tag,
            },
            // Unreachable: the sizes are equal and the alignment is 1.
            Err(_) => Self {
                blocks: 0,
                uniaddr: 0,
                tag: [0; 64],
            },
        }
    }

    /// Blob id up to its first NUL, 0 to 64 bytes.
    pub fn tag(&self) -> &[u8] {
        let mut parts = self.tag.split(|b| *b == 0);
        parts.next().unwrap_or_default()
    }
}
