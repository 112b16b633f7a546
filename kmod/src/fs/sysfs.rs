// SPDX-License-Identifier: GPL-2.0

//! The files of `/sys/fs/ondine/<id>/`.

use super::Image;
use crate::{
    cache::Counts,
    vfs::{BackingKind, PageWriter},
};
use core::fmt::{Result, Write};

/// Block size of the image, in bytes.
pub(super) fn block_size(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", image.superblock.block_size())
}

/// Number of blobs, including the primary one.
pub(super) fn devices(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", image.blobs.len())
}

/// Compatible feature bits of the superblock.
pub(super) fn feature_compat(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{:#x}", image.superblock.feature_compat())
}

/// Incompatible feature bits of the superblock.
pub(super) fn feature_incompat(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{:#x}", image.superblock.feature_incompat())
}

/// Source of the image: `file`, `device` or `cache`.
pub(super) fn source(image: &Image, to: &mut PageWriter<'_>) -> Result {
    if image.mount.is_some() {
        return to.write_str("cache");
    }
    to.write_str(match image.source_kind() {
        BackingKind::Regular => "file",
        BackingKind::Device => "device",
    })
}

/// Counters of an on-demand mount; all 0 for any other.
fn counts(image: &Image) -> Counts {
    image
        .mount
        .as_ref()
        .map_or(Counts::default(), |mount| mount.counts())
}

/// Bytes that the daemon has written to the blobs since they were first opened,
/// for any mount.
pub(super) fn bytes_filled(image: &Image, to: &mut PageWriter<'_>) -> Result {
    let filled = image.blobs.iter().map(|blob| blob.filled());
    write!(to, "{}", filled.fold(0, u64::wrapping_add))
}

/// Reads whose bytes were present.
pub(super) fn hits(image: &Image, to: &mut PageWriter<'_>) -> Result {
    let hits = image.mount.as_ref().map_or(0, |mount| mount.hits());
    write!(to, "{hits}")
}

/// Reads some of whose bytes were missing.
pub(super) fn misses(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(image).misses)
}

/// READ requests that were submitted.
pub(super) fn requests(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(image).requests)
}

/// Waits for a request that another read was waiting for already.
pub(super) fn requests_merged(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(image).merged)
}

/// Reads that are waiting at present.
pub(super) fn waiting(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(image).waiting)
}

/// Longest wait of a read, in microseconds.
pub(super) fn longest_wait_us(image: &Image, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(image).longest_wait_us)
}
