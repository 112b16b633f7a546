// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The spaces that metadata lives in, and how a nid names a place there (section 1).

use super::store::holds;
use super::{Fault, Image, Result};
use crate::strictness::Defect;

/// A metadata address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The primary device.
    Primary,
    /// The contents of the metabox inode.
    Metabox,
    /// The contents of the packed inode (long prefixes only).
    Packed,
}

/// A byte in a metadata space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Place {
    /// The space.
    pub space: Space,
    /// Byte offset in it.
    pub at: u64,
}

impl Place {
    /// The place `bytes` further on; an end beyond 64 bits stays at the last byte, where nothing can be read.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        let at = self.at.saturating_add(bytes);
        Self { at, ..self }
    }

    /// The first place at or after this one that is a multiple of `unit` (a power of two) from its space's start.
    #[must_use]
    pub fn aligned(self, unit: u64) -> Self {
        self.plus(self.at.wrapping_neg() & (unit - 1))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = match self.space {
            Space::Primary => "image",
            Space::Metabox => "metabox",
            Space::Packed => "packed",
        };
        write!(f, "{space}+{:#x}", self.at)
    }
}

impl Image {
    /// Where the inode of a nid begins.
    ///
    /// # Errors
    /// [`Defect::NidOverflow`], or [`Defect::NidNeedsMetabox`].
    pub fn place_of(&self, nid: u64) -> Result<Place> {
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
            Ok(at) => Ok(Place { space, at }),
            Err(_) => {
                Err(Defect::NidOverflow.fault(format!("the address of nid {nid:#x} overflows")))
            }
        }
    }

    /// Reads `len` bytes of metadata.
    ///
    /// # Errors
    /// [`Defect::MetadataBeyondImage`] or [`Defect::MetadataBeyondMetabox`]; else what reading the contents of the
    /// metabox or packed inode gave.
    pub fn metadata(&self, place: Place, len: u64) -> Result<Vec<u8>> {
        let file = match place.space {
            Space::Primary => None,
            Space::Metabox => self.metabox.as_ref(),
            Space::Packed => self.packed.as_ref(),
        };
        let size = file.map_or_else(|| self.devices.store(0).len(), |inode| inode.size);
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
        // Of a file whole pages are read, so what is missing elsewhere in the page is missed here.
        let start = place.at - place.at % self.page_size;
        let end = (place.at + len).next_multiple_of(self.page_size).min(size);
        let mut pages = vec![0; length(end - start)];
        self.read(file, start, &mut pages)?;
        pages.drain(..length(place.at - start));
        pages.truncate(length(len));
        Ok(pages)
    }

    /// Whether the bytes of an extent are there.
    ///
    /// # Errors
    /// [`Defect::DataBeyondDevice`].
    pub fn present(&self, device: u16, at: u64, len: u64) -> Result<()> {
        self.bounded(device, at, len)
    }

    fn bounded(&self, device: u16, at: u64, len: u64) -> Result<()> {
        let store = self.devices.store(device);
        if holds(store, at, len) {
            return Ok(());
        }
        let size = store.len();
        let why = format!("{len} bytes at {at:#x} of device {device} end after its {size} bytes");
        Err(Defect::DataBeyondDevice.fault(why))
    }

    /// Bytes of a device, which must all be there.
    pub(super) fn fill(&self, device: u16, at: u64, out: &mut [u8]) -> Result<()> {
        self.bounded(device, at, out.len() as u64)?;
        let store = self.devices.store(device);
        let failed =
            |errno| Fault::other(errno, format!("device {device} cannot be read at {at:#x}"));
        store.read_at(at, out).map_err(failed)
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("metadata records are small")
}
