// SPDX-License-Identifier: GPL-2.0

//! A blob with all its bytes in a file or a block device.

use crate::vfs::{Backing, BackingKind, MetaSlice, ReadMode, ReadRequest};
use kernel::prelude::*;

/// A file or block device that holds a blob.
pub(crate) struct Local {
    backing: Backing,
    /// Byte of the backing at which the blob starts.
    start: u64,
    /// Mount option `directio`: reads bypass the page cache of the backing wherever
    /// they can.
    direct: bool,
}

impl Local {
    /// The blob that starts at byte `start` of `backing`.
    pub(crate) fn new(backing: Backing, start: u64, direct: bool) -> Self {
        Self {
            backing,
            start,
            direct,
        }
    }

    /// The kind of the backing: a regular file or a block device.
    pub(crate) fn kind(&self) -> BackingKind {
        self.backing.kind()
    }

    /// The backing, if it is a block device.
    pub(crate) fn device(&self) -> Option<&Backing> {
        (self.kind() == BackingKind::Device).then_some(&self.backing)
    }

    /// The byte of the backing that holds byte `offset` of the blob.
    ///
    /// # Errors
    ///
    /// EIO if no file can be that large.
    pub(crate) fn address(&self, offset: u64) -> Result<u64> {
        self.start
            .checked_add(offset)
            .filter(|&address| i64::try_from(address).is_ok())
            .ok_or(EIO)
    }

    /// Reads metadata: up to `len` bytes at an address from [`Self::address`], at
    /// least one, within one folio.
    ///
    /// # Errors
    ///
    /// EIO beyond the end; errors of the read.
    pub(crate) fn bytes_at(&self, address: u64, len: usize) -> Result<MetaSlice> {
        self.backing.bytes(address, len)
    }

    /// Returns whether the backing ends at or before an address.
    pub(crate) fn ends_before(&self, address: u64) -> bool {
        self.backing.size() <= address
    }

    /// The backing, if it is a regular file.
    pub(crate) fn file(&self) -> Option<&Backing> {
        (self.kind() == BackingKind::Regular).then_some(&self.backing)
    }

    /// Submits a read of folios. May return before it has completed.
    pub(crate) fn read(&self, request: ReadRequest) {
        read(&self.backing, request, self.direct);
    }
}

/// Reads of at least this many bytes are direct: by then the device read costs
/// less than the copy from the backing's page cache. Shorter ones go through that
/// page cache, whose readahead serves many small files at once.
const DIRECT_MIN: u64 = 64 << 10;

/// Submits a read of folios from `file`; with `direct`, a direct one wherever the
/// file allows it.
pub(super) fn read(file: &Backing, request: ReadRequest, direct: bool) {
    let (address, len) = (request.address(), request.len());
    let direct = file.can_read_direct(address, len)
        && (direct || (len >= DIRECT_MIN && !file.is_cached(address, len)));
    let mode = if direct {
        ReadMode::Direct
    } else {
        ReadMode::Buffered
    };
    request.read(file, mode);
}
