// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An image writer for every feature of the uncompressed format.
//!
//! [`write()`] turns a [`Tree`] and [`ImageOptions`] into an [`Image`], of which every reader must
//! produce [`Tree::observation`]. The layout is the one requested, not the smallest.

mod allocate;
mod checksum;
mod directory;
mod disk;
pub mod gallery;
mod image;
mod inode;
mod item;
mod options;
mod place;
mod record;
mod resolve;
mod sparse_bytes;
mod superblock;
mod xattr;

use crate::tree::Tree;

pub use checksum::seal;
pub use gallery::{gallery, SampleImage};
pub use image::{Image, Placed, PlacedData};
pub use options::{DeviceOptions, ImageOptions, LongPrefix, PrefixPlace, SharedXattrs, Unified};
pub use record::Site;
pub use sparse_bytes::SparseBytes;

pub(crate) use directory::pack;
pub(crate) use resolve::{visible_body, Body};

/// A tree that cannot be written because it exceeds a limit of the format
/// (docs/spec/erofs-format.md section 11).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The block size is not within 512 bytes to 64 KiB.
    #[error("blocks of 2^{0} bytes are outside 2^9..=2^16")]
    BlockSize(u8),
    /// The superblock and its slots cross the end of their 4 KiB page.
    #[error("a superblock of {0} bytes does not end within its 4 KiB page")]
    Superblock(u64),
    /// A tag has more than 64 bytes, or there are more than 65535 devices.
    #[error("device {0}: the tag exceeds 64 bytes, or there are more than 65535 devices")]
    Device(usize),
    /// A prefix has more than 255 bytes, or there are more than 128.
    #[error("long prefix {0}: the infix exceeds 255 bytes, or there are more than 128 prefixes")]
    Prefix(usize),
    /// The attribute's name has no known prefix.
    #[error("extended attribute {0}: the name has no known namespace")]
    XattrName(String),
    /// Name or value is too long.
    #[error("extended attribute {0}: its name exceeds 255 bytes or its value 65535")]
    XattrSize(String),
    /// The attributes of an inode are too large.
    #[error("extended attributes of one inode take {0} bytes, at most 262148 fit")]
    XattrArea(usize),
    /// A file has more than 2^63 - 1 bytes.
    #[error("a file of {0} bytes is beyond 2^63")]
    FileSize(u64),
    /// A chunk map exceeds the writer's limit.
    #[error("a chunk map of {0} records: choose larger chunks")]
    ChunkMap(u64),
    /// A block address does not fit its field.
    #[error("block address {0} does not fit its field")]
    Address(u64),
    /// A symbolic link's target is not 1..=4095 bytes without NUL.
    #[error(
        "a symbolic link's target has {0} bytes or contains NUL; 1 to 4095 without NUL are allowed"
    )]
    Target(usize),
}

/// Writes `tree` as an image.
///
/// # Errors
/// When the tree or the options exceed a limit of the format; see [`WriteError`].
pub fn write(tree: &Tree, options: &ImageOptions) -> Result<Image, WriteError> {
    image::assemble(tree, options)
}
