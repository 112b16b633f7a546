// SPDX-License-Identifier: GPL-2.0

//! The files of `/sys/fs/ondine/<id>/`.

use super::Data;
use crate::{
    cache::Counts,
    vfs::{BackingKind, PageWriter},
};
use core::fmt::{Result, Write};

/// Bytes in a block of the image.
pub(super) fn block_size(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", data.image.block_size())
}

/// Blobs that the image is read from, the primary one among them.
pub(super) fn devices(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", data.blobs.len())
}

/// Compatible feature bits of the superblock.
pub(super) fn feature_compat(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{:#x}", data.image.feature_compat())
}

/// Incompatible feature bits of the superblock.
pub(super) fn feature_incompat(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{:#x}", data.image.feature_incompat())
}

/// What the image is mounted from: `file`, `device` or `cache`.
pub(super) fn source(data: &Data, to: &mut PageWriter<'_>) -> Result {
    if data.mount.is_some() {
        return to.write_str("cache");
    }
    to.write_str(match data.source_kind() {
        BackingKind::Regular => "file",
        BackingKind::Device => "device",
    })
}

/// What the misses of an on-demand mount came to; all 0 for any other.
fn counts(data: &Data) -> Counts {
    data.mount
        .as_ref()
        .map_or(Counts::default(), |mount| mount.counts())
}

/// Bytes that a daemon has brought into the blobs since they were opened first,
/// by whichever mount.
pub(super) fn bytes_filled(data: &Data, to: &mut PageWriter<'_>) -> Result {
    let filled = data.blobs.iter().map(|blob| blob.filled());
    write!(to, "{}", filled.fold(0, u64::wrapping_add))
}

/// Reads that found their bytes present.
pub(super) fn hits(data: &Data, to: &mut PageWriter<'_>) -> Result {
    let hits = data.mount.as_ref().map_or(0, |mount| mount.hits());
    write!(to, "{hits}")
}

/// Reads that did not.
pub(super) fn misses(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(data).misses)
}

/// READ requests that reads caused.
pub(super) fn requests(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(data).requests)
}

/// Waits for a request that another read has waited for already.
pub(super) fn requests_merged(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(data).merged)
}

/// Reads that wait now.
pub(super) fn waiting(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(data).waiting)
}

/// Longest wait of a read so far, in microseconds.
pub(super) fn longest_wait_us(data: &Data, to: &mut PageWriter<'_>) -> Result {
    write!(to, "{}", counts(data).longest_wait_us)
}
