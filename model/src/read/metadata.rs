// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Translation of nids to positions (docs/spec/erofs-format.md section 1), and reads of metadata and
//! devices with their bounds checked.

use super::device_bytes::holds;
use super::{Fault, Image, MetadataAddress, Result, Space};
use crate::strictness::Defect;

impl Image {
    /// Returns the position of the inode with this nid.
    ///
    /// # Errors
    /// [`Defect::NidOverflow`], or [`Defect::NidNeedsMetabox`].
    pub fn inode_address(&self, nid: u64) -> Result<MetadataAddress> {
        let slot = nid & (u64::MAX >> 1);
        let (space, start) = if nid == slot {
            (
                Space::Primary,
                u64::from(self.sb.meta_block) << self.sb.block_bits,
            )
        } else if self.metabox.is_some() {
            (Space::Metabox, 0)
        } else {
            return Err(Defect::NidNeedsMetabox
                .fault(format!("nid {nid:#x} is in a metabox, none is loaded")));
        };
        let at = u64::try_from(u128::from(slot) * 32 + u128::from(start));
        match at {
            Ok(at) => Ok(MetadataAddress { space, at }),
            Err(_) => {
                Err(Defect::NidOverflow.fault(format!("the address of nid {nid:#x} overflows")))
            }
        }
    }

    /// Reads `len` bytes of metadata.
    ///
    /// # Errors
    /// [`Defect::MetadataBeyondImage`] or [`Defect::MetadataBeyondMetabox`], or an error of reading
    /// the metabox or packed inode.
    pub fn metadata(&self, place: MetadataAddress, len: u64) -> Result<Vec<u8>> {
        let file = match place.space {
            Space::Primary => None,
            Space::Metabox => self.metabox.as_ref(),
            Space::Packed => self.packed.as_ref(),
        };
        let size = file.map_or_else(|| self.devices.bytes(0).len(), |inode| inode.size);
        if place.at.checked_add(len).is_none_or(|end| end > size) {
            let why = format!("{len} bytes of metadata at {place} end after its {size} bytes");
            return Err(match file {
                None => Defect::MetadataBeyondImage.fault(why),
                Some(_) => Defect::MetadataBeyondMetabox.fault(why),
            });
        }
        let Some(file) = file else {
            let mut out = vec![0; length(len)];
            self.fill(0, place.at, &mut out)?;
            return Ok(out);
        };
        // Files are read in whole pages, so a read fails if any part of its page is missing.
        let start = place.at - place.at % self.page_size;
        let end = (place.at + len).next_multiple_of(self.page_size).min(size);
        let mut pages = vec![0; length(end - start)];
        self.read(file, start, &mut pages)?;
        pages.drain(..length(place.at - start));
        pages.truncate(length(len));
        Ok(pages)
    }

    /// Checks that the bytes of an extent exist on the device.
    ///
    /// # Errors
    /// [`Defect::DataBeyondDevice`].
    pub fn present(&self, device: u16, at: u64, len: u64) -> Result<()> {
        self.bounded(device, at, len)
    }

    fn bounded(&self, device: u16, at: u64, len: u64) -> Result<()> {
        let bytes = self.devices.bytes(device);
        if holds(bytes, at, len) {
            return Ok(());
        }
        let size = bytes.len();
        let why = format!("{len} bytes at {at:#x} of device {device} end after its {size} bytes");
        Err(Defect::DataBeyondDevice.fault(why))
    }

    /// Reads bytes of a device, all of which must exist.
    pub(super) fn fill(&self, device: u16, at: u64, out: &mut [u8]) -> Result<()> {
        self.bounded(device, at, out.len() as u64)?;
        let bytes = self.devices.bytes(device);
        let failed =
            |errno| Fault::other(errno, format!("device {device} cannot be read at {at:#x}"));
        bytes.read_at(at, out).map_err(failed)
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("metadata records are small")
}
