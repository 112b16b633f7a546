// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mapping of file positions to their bytes (docs/spec/erofs-format.md section 5).

use super::fields::Fields;
use super::{Image, Inode, Layout, MetadataAddress, Result};
use crate::observation::Span;
use crate::strictness::Defect;

/// End of the 48-bit block address space.
const BLOCKS_END: u64 = 1 << 48;

/// Location of an extent's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// No location: the bytes are zero.
    Hole,
    /// On a device.
    Device {
        /// 0 is the primary device, n the n-th slot.
        id: u16,
        /// Byte on that device.
        at: u64,
    },
    /// In a metadata space, after the inode.
    Inline(MetadataAddress),
}

/// A contiguous run of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// First byte in the file.
    pub start: u64,
    /// First byte after the extent, at most the file's size.
    pub end: u64,
    /// Location of the byte at `start`.
    pub source: Source,
}

impl Image {
    /// Returns the extent that holds file byte `at`, which is below the file's size. Chunks are not
    /// merged.
    ///
    /// # Errors
    /// [`Defect::InlineTail`], [`Defect::AddressOverflow`], [`Defect::UnknownDevice`], or errors of
    /// reading the chunk map.
    pub fn extent(&self, inode: &Inode, at: u64) -> Result<Extent> {
        debug_assert!(at < inode.size);
        let bs = self.sb.block_size();
        let whole = |source| Extent {
            start: 0,
            end: inode.size,
            source,
        };
        match inode.layout {
            Layout::Plain { start: None } => Ok(whole(Source::Hole)),
            Layout::Plain { start: Some(block) } => Ok(whole(self.blocks(0, block, inode.size)?)),
            Layout::Inline { start } => {
                let full = (inode.size - 1) / bs * bs;
                if at < full {
                    let source = self.blocks(0, start, full)?;
                    return Ok(Extent {
                        end: full,
                        ..whole(source)
                    });
                }
                let place = inode.tail_address();
                let tail = inode.size - full;
                if place.at % bs + tail > bs {
                    let why = format!(
                        "an inline tail of {tail} bytes at {place} leaves its block of {bs}"
                    );
                    return Err(Defect::InlineTail.fault(why));
                }
                let source = Source::Inline(place);
                Ok(Extent {
                    start: full,
                    ..whole(source)
                })
            }
            Layout::Chunks {
                bits,
                indexes,
                large,
            } => {
                let chunk = bs << bits;
                let k = at / chunk;
                let start = k * chunk;
                let end = (start + chunk).min(inode.size);
                let source = match self.chunk(inode, k, indexes, large)? {
                    Some((device, block)) => self.blocks(device, block, end - start)?,
                    None => Source::Hole,
                };
                Ok(Extent { start, end, source })
            }
        }
    }

    /// Reads record `k` of a chunk map: device and block, or `None` for a hole.
    fn chunk(
        &self,
        inode: &Inode,
        k: u64,
        indexes: bool,
        large: bool,
    ) -> Result<Option<(u16, u64)>> {
        let unit = if indexes { 8 } else { 4 };
        let place = inode
            .tail_address()
            .aligned(unit)
            .plus(k.saturating_mul(unit));
        let record = self.metadata(place, unit)?;
        let f = Fields(&record);
        if !indexes {
            let block = f.u32(0);
            return Ok((block != u32::MAX).then_some((0, block.into())));
        }
        let low = u64::from(f.u32(4));
        let (block, nowhere) = if large {
            (low | u64::from(f.u16(0)) << 32, BLOCKS_END - 1)
        } else {
            (low, u32::MAX.into())
        };
        Ok((block != nowhere).then_some((self.devices.mask(f.u16(2)), block)))
    }

    /// Maps a run of `len` bytes that starts at a block.
    fn blocks(&self, device: u16, block: u64, len: u64) -> Result<Source> {
        let bs = self.sb.block_size();
        let end = block
            .checked_add(len.div_ceil(bs))
            .filter(|end| *end <= BLOCKS_END);
        let (Some(_), Some(at)) = (end, block.checked_mul(bs)) else {
            let why = format!("{len} bytes from block {block:#x} on end beyond block 2^48");
            return Err(Defect::AddressOverflow.fault(why));
        };
        let (id, at) = self.devices.locate(device, at)?;
        Ok(Source::Device { id, at })
    }

    /// Iterates over all extents of an inode; ends after the first error.
    pub fn extents<'a>(&'a self, inode: &'a Inode) -> impl Iterator<Item = Result<Extent>> + 'a {
        let mut at = Some(0);
        std::iter::from_fn(move || {
            let from = at.filter(|from| *from < inode.size)?;
            let extent = self.extent(inode, from);
            at = extent.as_ref().ok().map(|extent| extent.end);
            Some(extent)
        })
    }

    /// Fills `out` with the file's bytes from `at`. Bytes at or beyond the file's size are zero.
    ///
    /// # Errors
    /// As [`Image::extent`], and [`Defect::DataBeyondDevice`].
    pub fn read(&self, inode: &Inode, at: u64, out: &mut [u8]) -> Result<()> {
        out.fill(0);
        let end = at.saturating_add(out.len() as u64).min(inode.size);
        let mut position = at;
        while position < end {
            let extent = self.extent(inode, position)?;
            let stop = extent.end.min(end);
            let within = position - extent.start;
            let len = stop - position;
            let target = &mut out[(position - at) as usize..(stop - at) as usize];
            match extent.source {
                Source::Hole => {}
                Source::Inline(place) => {
                    target.copy_from_slice(&self.metadata(place.plus(within), len)?)
                }
                Source::Device { id, at } => {
                    let Some(first) = at.checked_add(within) else {
                        return Err(
                            Defect::AddressOverflow.fault("the address of a byte overflows")
                        );
                    };
                    self.fill(id, first, target)?;
                }
            }
            position = stop;
        }
        Ok(())
    }

    /// Returns the data ranges that SEEK_DATA and SEEK_HOLE show. Adjacent ranges are merged.
    ///
    /// # Errors
    /// As [`Image::extent`], and errors of reading an inline tail, because drivers read it to map
    /// it. Blocks may lie beyond the device; this is not checked.
    pub fn spans(&self, inode: &Inode) -> Result<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        for extent in self.extents(inode) {
            let Extent { start, end, source } = extent?;
            if let Source::Inline(place) = source {
                self.metadata(place, end - start)?;
            }
            match spans.last_mut() {
                _ if source == Source::Hole => {}
                Some(last) if last.end == start => last.end = end,
                _ => spans.push(Span { start, end }),
            }
        }
        Ok(spans)
    }
}
