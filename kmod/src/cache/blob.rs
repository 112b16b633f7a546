// SPDX-License-Identifier: GPL-2.0

//! A blob: the primary image, or an extra device of it.

use super::{local::Local, on_demand::OnDemand};
use crate::vfs::{self, Backing, BackingKind, MetaSlice, Present, ReadRequest};
use kernel::prelude::*;

/// A blob of a mounted image.
pub(crate) enum Blob {
    /// In a file or block device, with all its bytes.
    Local(Local),
    /// In a cache file that a daemon fills.
    OnDemand(OnDemand),
}

impl Blob {
    /// The kind of the backing: a regular file or a block device.
    pub(crate) fn kind(&self) -> BackingKind {
        match self {
            Self::Local(blob) => blob.kind(),
            Self::OnDemand(_) => BackingKind::Regular,
        }
    }

    /// The byte of the backing that holds byte `offset` of the blob.
    ///
    /// # Errors
    ///
    /// EIO if no file can be that large.
    pub(crate) fn address(&self, offset: u64) -> Result<u64> {
        match self {
            Self::Local(blob) => blob.address(offset),
            Self::OnDemand(_) => Ok(offset),
        }
    }

    /// Reads metadata: up to `len` bytes at `offset` of the blob, at least one,
    /// within one folio.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; errors of the read, or of the wait for the daemon.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<MetaSlice> {
        self.bytes_at(self.address(offset)?, len)
    }

    /// Reads metadata like [`Self::bytes`], at an address from [`Self::address`].
    pub(crate) fn bytes_at(&self, address: u64, len: usize) -> Result<MetaSlice> {
        match self {
            Self::Local(blob) => blob.bytes_at(address, len),
            Self::OnDemand(blob) => blob.bytes(address, len),
        }
    }

    /// Requests metadata that is missing, and returns whether it is. Does not wait.
    pub(crate) fn request_missing(&self, address: u64, len: u64) -> bool {
        match self {
            Self::Local(_) => false,
            Self::OnDemand(blob) => blob.request_missing(address, len),
        }
    }

    /// Returns whether the blob ends at or before an address from [`Self::address`].
    /// False while the daemon has not told the size.
    pub(crate) fn ends_before(&self, address: u64) -> bool {
        match self {
            Self::Local(blob) => blob.ends_before(address),
            Self::OnDemand(blob) => blob.ends_before(address),
        }
    }

    /// Bytes that the daemon has written since the blob's object was made.
    pub(crate) fn filled(&self) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::OnDemand(blob) => blob.object.filled(),
        }
    }
}

impl vfs::Blob for Blob {
    fn device(&self) -> Option<&Backing> {
        match self {
            Self::Local(blob) => blob.device(),
            Self::OnDemand(_) => None,
        }
    }

    #[inline]
    fn present(&self, address: u64, len: u64) -> Present<'_> {
        match self {
            Self::Local(blob) => match blob.file() {
                Some(file) => Present::File(file),
                None => Present::NoFile,
            },
            Self::OnDemand(blob) if blob.has(address, len) => {
                blob.mount.count_hit();
                Present::File(blob.file())
            }
            Self::OnDemand(_) => Present::Missing,
        }
    }

    fn is_missing(&self, address: u64, len: u64) -> bool {
        match self {
            Self::Local(_) => false,
            Self::OnDemand(blob) => !blob.has(address, len),
        }
    }

    fn is_fully_present(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::OnDemand(blob) => blob.is_fully_present(),
        }
    }

    fn prefetch(&self, address: u64, len: u64) {
        if let Self::OnDemand(blob) = self {
            blob.prefetch(address, len);
        }
    }

    fn fetch(&self, address: u64, len: u64) -> Result<Option<&Backing>> {
        match self {
            Self::Local(blob) => Ok(blob.file()),
            Self::OnDemand(blob) => {
                blob.mount.count_miss();
                blob.wait_for(address, len)?;
                Ok(Some(blob.file()))
            }
        }
    }

    fn read(&self, request: ReadRequest) {
        match self {
            Self::Local(blob) => blob.read(request),
            Self::OnDemand(blob) => blob.read(request),
        }
    }
}
