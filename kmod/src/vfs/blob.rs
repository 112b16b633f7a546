// SPDX-License-Identifier: GPL-2.0

//! Blobs: the files and devices that hold the bytes of a mounted image.

use super::{Backing, ReadRequest};
use kernel::prelude::*;

/// A blob of a mounted image; its bytes are addressed by their position in the
/// backing file or device.
///
/// Bytes that are present stay present and do not change.
pub(crate) trait Blob: Send + Sync {
    /// Returns the file to read `[address, address + len)` from, for a read that
    /// is about to use it. Counts a hit if the bytes are present.
    fn present(&self, address: u64, len: u64) -> Present<'_>;

    /// Returns whether some of `[address, address + len)` is not present.
    fn is_missing(&self, address: u64, len: u64) -> bool;

    /// Returns whether no byte of the blob is missing.
    fn is_fully_present(&self) -> bool;

    /// Requests the missing pages of `[address, address + len)`, without waiting
    /// for them. A failure is not reported: it is a hint.
    fn prefetch(&self, address: u64, len: u64);

    /// Requests the missing pages of `[address, address + len)` and waits for
    /// them, killable. Returns the file that holds them, or `None` for a blob
    /// without one. Counts a miss.
    ///
    /// # Errors
    ///
    /// The errno of the daemon, or EIO, EINTR, ETIMEDOUT or ENOMEM of the wait.
    fn fetch(&self, address: u64, len: u64) -> Result<Option<&Backing>>;

    /// Submits a read of page cache folios. May return before it has completed.
    fn read(&self, request: ReadRequest);

    /// The block device that the blob is, if it is one.
    fn device(&self) -> Option<&Backing>;
}

/// Result of looking for bytes of a blob.
pub(crate) enum Present<'a> {
    /// The bytes are present in this file.
    File(&'a Backing),
    /// Some bytes are missing; [`Blob::fetch`] waits for them.
    Missing,
    /// The blob is a block device: read through the page cache of the inode.
    NoFile,
}

/// Maps an error from waiting for metadata to the errno that the caller sees.
///
/// The errno of a daemon is about its blob. Passed on, it would be taken for an
/// answer about the file: ENODATA, say, means that a file has no such attribute.
pub(crate) fn metadata_error(error: Error) -> Error {
    match error {
        EINTR | ETIMEDOUT | ENOMEM => error,
        _ => EIO,
    }
}
