// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An image writer that can lay out every feature of the uncompressed format.
//!
//! It exists to be read back: [`write()`] turns a [`Tree`] and [`ImageOptions`] into an [`Image`], and every reader
//! must then give [`Tree::observation`]. It lays out what it is asked for, never what would be smallest.

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
mod store;
mod superblock;
mod xattr;

use crate::tree::Tree;

pub use checksum::seal;
pub use gallery::{gallery, Exhibit};
pub use image::{Image, Placed, PlacedData};
pub use options::{DeviceOptions, ImageOptions, LongPrefix, PrefixPlace, SharedXattrs, Unified};
pub use record::Site;
pub use store::Store;

pub(crate) use directory::pack;
pub(crate) use resolve::{visible_body, Body};

/// Why a tree cannot be written: each is a limit of the format (section 11).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A block is 512 bytes to 64 KiB.
    #[error("blocks of 2^{0} bytes are outside 2^9..=2^16")]
    BlockSize(u8),
    /// The superblock and its slots end within the 4 KiB page that they begin in.
    #[error("a superblock of {0} bytes does not end within its 4 KiB page")]
    Superblock(u64),
    /// A tag has at most 64 bytes, an image at most 65535 devices.
    #[error("device {0}: its tag is longer than 64 bytes, or it is one too many")]
    Device(usize),
    /// A prefix has at most 255 bytes, an image at most 128 that can be named.
    #[error("long prefix {0}: its infix is longer than 255 bytes, or it is one too many")]
    Prefix(usize),
    /// The attribute's name begins with none of the known prefixes.
    #[error("extended attribute {0}: no prefix index stands for its beginning")]
    XattrName(String),
    /// Name or value is too long.
    #[error("extended attribute {0}: its name exceeds 255 bytes or its value 65535")]
    XattrSize(String),
    /// The attributes of one inode are too many.
    #[error("extended attributes of one inode take {0} bytes, at most 262148 fit")]
    XattrArea(usize),
    /// A file has at most 2^63 - 1 bytes.
    #[error("a file of {0} bytes is beyond 2^63")]
    FileSize(u64),
    /// A chunk map is larger than the writer is willing to hold.
    #[error("a chunk map of {0} records: choose larger chunks")]
    ChunkMap(u64),
    /// A block address does not fit in the field that must carry it.
    #[error("block {0} is out of reach for the field that carries it")]
    Address(u64),
    /// A symbolic link is 1..=4095 bytes without NUL.
    #[error("a symbolic link's target has {0} bytes, or a NUL among them")]
    Target(usize),
}

/// Lays out `tree`.
///
/// # Errors
/// When the tree or the options go beyond what the format can carry; see [`WriteError`].
pub fn write(tree: &Tree, options: &ImageOptions) -> Result<Image, WriteError> {
    image::assemble(tree, options)
}
