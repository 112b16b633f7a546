// SPDX-License-Identifier: GPL-2.0

//! What a mounted image consists of, and how its metadata is read.

use super::{options::Options, prefixes::Prefixes, Ondine};
use crate::{
    cache::{Blob, Mounted},
    vfs::{BackingKind, InodeSlot, MetaSlice, SuperBlock},
};
use kernel::{prelude::*, sync::SetOnce};
use ondine_erofs::{Defect, DeviceSlot, Devices, Errno, Space};

/// A mounted image.
pub(crate) struct Data {
    pub(super) image: ondine_erofs::SuperBlock,
    /// Up to 65535 of them, more than fits consecutive pages.
    pub(super) slots: KVVec<DeviceSlot>,
    /// The primary image, then the extra devices that were given.
    pub(super) blobs: KVec<Blob>,
    pub(super) prefixes: SetOnce<Prefixes>,
    pub(super) metabox: InodeSlot<Ondine>,
    pub(super) packed: InodeSlot<Ondine>,
    pub(super) options: Options,
    /// What on-demand blobs have in common; `None` if there are none.
    pub(super) mount: Option<Mounted>,
}

impl Data {
    /// Whether extra devices are devices of their own or parts of the primary.
    pub(super) fn devices(&self) -> Devices<'_> {
        if self.blobs.len() > 1 {
            Devices::Multi(&self.slots)
        } else {
            Devices::Flat(&self.slots)
        }
    }

    /// What kind of file the image is in.
    pub(super) fn source_kind(&self) -> BackingKind {
        self.blobs
            .first()
            .map_or(BackingKind::Regular, |blob| blob.kind())
    }

    /// Up to `len` bytes of metadata, at least one, as far as one folio goes.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; EUCLEAN if the image has no such space; what reading
    /// gives.
    pub(super) fn bytes(&self, space: Space, offset: u64, len: usize) -> Result<MetaSlice> {
        let contents = match space {
            Space::Primary => return self.blobs.first().ok_or(EIO)?.bytes(offset, len),
            Space::Metabox => self.metabox.get().ok_or(EUCLEAN)?,
            // Left out by `activate`, since it is compressed.
            Space::Packed => self.packed.get().ok_or(EOPNOTSUPP)?,
        };
        contents.cached_bytes(offset, len)
    }
}

impl Data {
    /// The byte of the primary's backing that holds a byte of metadata, if it
    /// is there as such.
    pub(super) fn address(&self, space: Space, offset: u64) -> Option<u64> {
        let primary = self.blobs.first().filter(|_| space == Space::Primary)?;
        primary.address(offset).ok()
    }
}

impl ondine_erofs::Source for Data {
    type Error = kernel::error::Error;

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Answer<()> {
        let mut rest = buf;
        let mut offset = offset;
        while !rest.is_empty() {
            let bytes = self
                .bytes(space, offset, rest.len())
                .map_err(ondine_erofs::Error::Source)?;
            let len = bytes.len();
            let (now, later) = rest
                .split_at_mut_checked(len)
                .ok_or(ondine_erofs::Error::Source(EIO))?;
            for (to, from) in now.iter_mut().zip(bytes.iter()) {
                *to = *from;
            }
            rest = later;
            offset = offset
                .checked_add(len as u64)
                .ok_or(Defect::AddressOverflow)?;
        }
        Ok(())
    }
}

/// What the pure crate answers here.
pub(super) type Answer<T> = core::result::Result<T, ondine_erofs::Error<kernel::error::Error>>;

/// The errno of a defect.
pub(super) fn errno(defect: Defect) -> kernel::error::Error {
    kernel::error::Error::from_errno(defect.errno().number().wrapping_neg())
}

/// Turns an answer into what user space gets. A defect of the image is logged;
/// what only the question got wrong is not.
pub(super) fn checked<T>(sb: &SuperBlock<Ondine>, nid: u64, answer: Answer<T>) -> Result<T> {
    answer.map_err(|error| match error {
        ondine_erofs::Error::Source(error) => error,
        ondine_erofs::Error::Defect(defect) => {
            let asked = [Errno::ENODATA, Errno::ERANGE, Errno::ENAMETOOLONG];
            if !asked.contains(&defect.errno()) {
                sb.log_defect(nid, defect.message());
            }
            errno(defect)
        }
    })
}
