// SPDX-License-Identifier: GPL-2.0

//! The files of `/sys/fs/ondine/<id>/`.

use super::Data;
use crate::vfs::{BackingKind, PageWriter};
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

/// What the image is mounted from: `file` or `device`.
pub(super) fn source(data: &Data, to: &mut PageWriter<'_>) -> Result {
    to.write_str(match data.source_kind() {
        BackingKind::Regular => "file",
        BackingKind::Device => "device",
    })
}
