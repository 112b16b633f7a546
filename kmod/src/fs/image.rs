// SPDX-License-Identifier: GPL-2.0

//! A mounted image: its parts, and reading its metadata.

use super::{error::ImageResult, options::MountOptions, xattr_prefixes::XattrPrefixes, Ondine};
use crate::{
    cache::{Blob, MountGuard},
    vfs::{BackingKind, InodeRef, MetaSlice},
};
use kernel::{prelude::*, sync::SetOnce};
use ondine_erofs::{Defect, DeviceSlot, Devices, Error, Space};

/// A mounted image.
pub(crate) struct Image {
    pub(super) superblock: ondine_erofs::SuperBlock,
    /// The device table. With up to 65535 slots it may exceed what consecutive
    /// pages hold.
    pub(super) slots: KVVec<DeviceSlot>,
    /// The primary image, then the extra devices that were given.
    pub(super) blobs: KVec<Blob>,
    pub(super) prefixes: SetOnce<XattrPrefixes>,
    /// The inode whose content is [`Space::Metabox`].
    pub(super) metabox: SetOnce<InodeRef<Ondine>>,
    /// The inode whose content is [`Space::Packed`].
    pub(super) packed: SetOnce<InodeRef<Ondine>>,
    pub(super) options: MountOptions,
    /// State that the on-demand blobs share; `None` if there are none.
    pub(super) mount: Option<MountGuard>,
}

impl Image {
    /// The device table, and whether its devices are blobs of their own or parts
    /// of the primary one.
    pub(super) fn devices(&self) -> Devices<'_> {
        if self.blobs.len() > 1 {
            Devices::Multi(&self.slots)
        } else {
            Devices::Flat(&self.slots)
        }
    }

    /// Kind of file of the primary blob.
    pub(super) fn source_kind(&self) -> BackingKind {
        self.blobs
            .first()
            .map_or(BackingKind::Regular, |blob| blob.kind())
    }

    /// Reads metadata: up to `len` bytes at `offset`, at least one, as far as one
    /// folio goes.
    ///
    /// # Errors
    ///
    /// A defect beyond the end, or if the image has no such space; EOPNOTSUPP if
    /// the space is not readable; those of reading.
    pub(super) fn bytes(&self, space: Space, offset: u64, len: usize) -> ImageResult<MetaSlice> {
        let contents = match space {
            Space::Primary => {
                let primary = self.blobs.first().ok_or(Error::Source(EIO))?;
                let address = primary.address(offset);
                return metadata(primary, address.map_err(|_| Defect::OutsideImage)?, len);
            }
            Space::Metabox => self.metabox.as_ref().ok_or(Defect::NoMetabox)?,
            // Not loaded by `activate` if it is compressed.
            Space::Packed => self.packed.as_ref().ok_or(Error::Source(EOPNOTSUPP))?,
        };
        if space == Space::Metabox && contents.size() <= offset {
            return Err(Defect::OutsideMetabox.into());
        }
        contents.cached_bytes(offset, len).map_err(Error::Source)
    }

    /// The address on the primary blob of a byte of metadata, unless it lies in
    /// another space.
    pub(super) fn address(&self, space: Space, offset: u64) -> Option<u64> {
        let primary = self.blobs.first().filter(|_| space == Space::Primary)?;
        primary.address(offset).ok()
    }
}

/// Reads metadata at an address of a blob, like [`Blob::bytes_at`].
///
/// # Errors
///
/// [`Defect::OutsideImage`] beyond the end; those of reading.
pub(super) fn metadata(blob: &Blob, address: u64, len: usize) -> ImageResult<MetaSlice> {
    blob.bytes_at(address, len).map_err(|error| {
        if error == EIO && blob.ends_before(address) {
            Defect::OutsideImage.into()
        } else {
            Error::Source(error)
        }
    })
}

impl ondine_erofs::Source for Image {
    type Error = kernel::error::Error;

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> ImageResult<()> {
        let mut rest = buf;
        let mut offset = offset;
        while !rest.is_empty() {
            let bytes = self.bytes(space, offset, rest.len())?;
            let len = bytes.len();
            let (now, later) = rest.split_at_mut_checked(len).ok_or(Error::Source(EIO))?;
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
