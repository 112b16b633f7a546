// SPDX-License-Identifier: GPL-2.0

//! A blob: the primary image or an extra device of it, as the file system
//! reads it.

use super::{local::Local, on_demand::OnDemand};
use crate::vfs::{Backing, BackingKind, Batch, MetaSlice, Present};
use kernel::prelude::*;

/// A blob, wherever its bytes are.
pub(crate) enum Blob {
    /// All there.
    Local(Local),
    /// Filled by a daemon, page by page.
    OnDemand(OnDemand),
}

impl Blob {
    /// Whether it is a regular file or a block device.
    pub(crate) fn kind(&self) -> BackingKind {
        match self {
            Self::Local(blob) => blob.kind(),
            Self::OnDemand(_) => BackingKind::Regular,
        }
    }

    /// The block device, if it is one.
    pub(crate) fn device(&self) -> Option<&Backing> {
        match self {
            Self::Local(blob) => blob.device(),
            Self::OnDemand(_) => None,
        }
    }

    /// The byte of the backing that holds byte `offset` of the blob.
    ///
    /// # Errors
    ///
    /// EIO where no file can be that large.
    pub(crate) fn address(&self, offset: u64) -> Result<u64> {
        match self {
            Self::Local(blob) => blob.address(offset),
            Self::OnDemand(_) => Ok(offset),
        }
    }

    /// Metadata: up to `len` bytes at `offset` of the blob, at least one, as
    /// far as one folio goes.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; what reading gives, or waiting for it.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<MetaSlice> {
        self.bytes_at(self.address(offset)?, len)
    }

    /// As [`Self::bytes`], at a byte of the backing that [`Self::address`] gave.
    pub(crate) fn bytes_at(&self, address: u64, len: usize) -> Result<MetaSlice> {
        match self {
            Self::Local(blob) => blob.bytes_at(address, len),
            Self::OnDemand(blob) => blob.bytes(address, len),
        }
    }

    /// What holds `[address, address + len)`, by a read that is about to use it.
    #[inline]
    pub(crate) fn present(&self, address: u64, len: u64) -> Present<'_> {
        match self {
            Self::Local(blob) => match blob.file() {
                Some(file) => Present::File(file),
                None => Present::NoFile,
            },
            Self::OnDemand(blob) if blob.has(address, len) => {
                blob.mount.hit();
                Present::File(blob.file())
            }
            Self::OnDemand(_) => Present::Missing,
        }
    }

    /// Whether some of `[address, address + len)` has to be waited for.
    pub(crate) fn is_missing(&self, address: u64, len: u64) -> bool {
        match self {
            Self::Local(_) => false,
            Self::OnDemand(blob) => !blob.has(address, len),
        }
    }

    /// Whether all of it is there.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::OnDemand(blob) => blob.is_whole(),
        }
    }

    /// Bytes that a daemon has brought since the blob was opened first.
    pub(crate) fn filled(&self) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::OnDemand(blob) => blob.object.filled(),
        }
    }

    /// Asks for what is missing of `[address, address + len)`, and does not wait
    /// for it.
    pub(crate) fn ask(&self, address: u64, len: u64) {
        if let Self::OnDemand(blob) = self {
            blob.ask_for(address, len);
        }
    }

    /// Waits until `[address, address + len)` is there: the file that holds it.
    ///
    /// # Errors
    ///
    /// As `OnDemand::wait`.
    pub(crate) fn fetch(&self, address: u64, len: u64) -> Result<Option<&Backing>> {
        match self {
            Self::Local(blob) => Ok(blob.file()),
            Self::OnDemand(blob) => {
                blob.mount.missed();
                blob.wait_for(address, len)?;
                Ok(Some(blob.file()))
            }
        }
    }

    /// Fills the page cache ranges of `batch`, in the background if it can.
    pub(crate) fn read(&self, batch: Batch) {
        match self {
            Self::Local(blob) => blob.read(batch),
            Self::OnDemand(blob) => blob.read(batch),
        }
    }
}
