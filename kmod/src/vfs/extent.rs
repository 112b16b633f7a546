// SPDX-License-Identifier: GPL-2.0

//! Extents: the location of a contiguous part of a file.

use super::{FileSystem, MetaSlice};

/// Permission to wait for metadata that a daemon has to bring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The caller needs the result, and holds no lock that others need.
    Allowed,
    /// The caller holds locked folios, or only gives a hint: EAGAIN instead. The
    /// metadata is requested.
    Never,
}

/// Location of the bytes of an extent.
pub(crate) enum Target<'a, F: FileSystem> {
    /// A hole: the bytes are zeros.
    Hole,
    /// On a blob, from this byte of its backing on.
    Blob(&'a F::Blob, u64),
    /// Inline, in metadata that has been read: the rest of the file; with the
    /// byte address on the primary blob, if it lies on one.
    Inline(MetaSlice, Option<u64>),
}

/// A contiguous part of a file.
pub(crate) struct Extent<'a, F: FileSystem> {
    /// File position of the first byte.
    pub(crate) start: u64,
    /// Length in bytes; not zero. A multiple of the block size, except for inline
    /// data.
    pub(crate) len: u64,
    pub(crate) target: Target<'a, F>,
}
