// SPDX-License-Identifier: GPL-2.0

//! A blob that is there in full: a file or a block device.

use crate::vfs::{Backing, BackingKind, Batch, MetaSlice, ReadMode};
use kernel::prelude::*;

/// A file or block device that holds a blob.
pub(crate) struct Local {
    backing: Backing,
    /// Byte of the backing where the blob begins.
    start: u64,
    /// The mount option: never through the page cache of the backing, for what
    /// can be read past it.
    direct: bool,
}

impl Local {
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

    /// Metadata: up to `len` bytes at a byte of the backing that [`Self::address`]
    /// gave, at least one, as far as one folio goes.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; what reading gives.
    pub(crate) fn bytes_at(&self, address: u64, len: usize) -> Result<MetaSlice> {
        self.backing.bytes(address, len)
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Backing> {
        (self.kind() == BackingKind::Regular).then_some(&self.backing)
    }

    /// Fills the page cache ranges of `batch`, in the background if it can.
    pub(crate) fn read(&self, batch: Batch) {
        read(&self.backing, batch, self.direct);
    }
}

/// Runs of at least this many bytes are read directly: one device read costs
/// less than a copy by then. Shorter ones go through the page cache of the
/// blob, so that one readahead there serves many small files.
const DIRECT_MIN: u64 = 64 << 10;

/// Fills the page cache ranges of `batch` from `file`; always directly where
/// that works, if `direct` says so.
pub(super) fn read(file: &Backing, batch: Batch, direct: bool) {
    let (address, len) = (batch.address(), batch.len());
    let direct = file.can_read_direct(address, len)
        && (direct || (len >= DIRECT_MIN && !file.is_cached(address, len)));
    let mode = if direct {
        ReadMode::Direct
    } else {
        ReadMode::Buffered
    };
    batch.read(file, mode);
}
