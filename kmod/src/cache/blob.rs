// SPDX-License-Identifier: GPL-2.0

//! A blob: one file or block device of an image, as the file system reads it.

use crate::vfs::{Backing, BackingKind, Batch, MetaSlice, ReadMode};
use kernel::prelude::*;

/// Runs of at least this many bytes are read directly: one device read costs
/// less than a copy by then. Shorter ones go through the page cache of the
/// blob, so that one readahead there serves many small files.
const DIRECT_MIN: u64 = 64 << 10;

/// The primary image or an extra device of it.
pub(crate) struct Blob {
    backing: Backing,
    /// Byte of the backing where the blob begins.
    start: u64,
    /// The mount option: never through the page cache of the backing, for what
    /// can be read past it.
    direct: bool,
}

impl Blob {
    /// The blob that begins at byte `start` of `backing`.
    pub(crate) fn new(backing: Backing, start: u64, direct: bool) -> Self {
        Self {
            backing,
            start,
            direct,
        }
    }

    /// Whether it is a regular file or a block device.
    pub(crate) fn kind(&self) -> BackingKind {
        self.backing.kind()
    }

    /// The block device, if it is one.
    pub(crate) fn device(&self) -> Option<&Backing> {
        (self.kind() == BackingKind::Device).then_some(&self.backing)
    }

    /// The byte of the backing that holds byte `offset` of the blob.
    ///
    /// # Errors
    ///
    /// EIO where no file can be that large.
    pub(crate) fn address(&self, offset: u64) -> Result<u64> {
        self.start
            .checked_add(offset)
            .filter(|&address| i64::try_from(address).is_ok())
            .ok_or(EIO)
    }

    /// Metadata: up to `len` bytes at `offset` of the blob, at least one, as
    /// far as one folio goes.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; what reading gives.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<MetaSlice> {
        self.bytes_at(self.address(offset)?, len)
    }

    /// As [`Self::bytes`], at a byte of the backing that [`Self::address`] gave.
    pub(crate) fn bytes_at(&self, address: u64, len: usize) -> Result<MetaSlice> {
        self.backing.bytes(address, len)
    }

    /// The file that holds `[address, address + len)` of the backing; `None` if
    /// it is a device.
    pub(crate) fn present(&self, _address: u64, _len: u64) -> Option<&Backing> {
        (self.kind() == BackingKind::Regular).then_some(&self.backing)
    }

    /// Fills the page cache ranges of `batch`, in the background if it can.
    pub(crate) fn read(&self, batch: Batch) {
        let (address, len) = (batch.address(), batch.len());
        let direct = self.backing.can_read_direct(address, len)
            && (self.direct || (len >= DIRECT_MIN && !self.backing.is_cached(address, len)));
        let mode = if direct {
            ReadMode::Direct
        } else {
            ReadMode::Buffered
        };
        batch.read(&self.backing, mode);
    }
}
