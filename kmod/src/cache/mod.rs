// SPDX-License-Identifier: GPL-2.0

//! Where an image's bytes are kept.
//!
//! The file system above asks a [`Blob`] for bytes and does not know whether
//! they are there already.

mod blob;

pub(crate) use self::blob::Blob;
