// SPDX-License-Identifier: GPL-2.0

//! Parser of the EROFS on-disk format for untrusted bytes.
//!
//! The kernel module uses this crate for everything it reads from an image: the crate takes bytes
//! from a [`Source`] and returns checked values. It never allocates, never panics, keeps no state
//! and has no `unsafe`. Cargo compiles the same files for tests on the host as Kbuild compiles into
//! `ondine.ko`. The format is specified in `docs/spec/erofs-format.md`.
//!
//! Every [`Defect`] of an image has a distinct name, an errno and a message.
//!
//! | module | contents |
//! | --- | --- |
//! | [`superblock`] | checks of the superblock; locations of the image's parts |
//! | [`device`] | translation of addresses to devices |
//! | [`device_slot`] | slots of the device table |
//! | [`inode`] | checks and fields of inodes |
//! | [`extent`] | mapping of file positions to data |
//! | [`dir`] | entries of a directory block |
//! | [`mod@lookup`] | search for a name in a directory |
//! | [`xattr`] | extended attributes of an inode |
//! | [`prefix`] | long prefixes of attribute names |
//! | [`source`] | interface to the bytes of an image |
//! | [`error`] | defects and their errnos |
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod checksum;
pub mod device;
pub mod device_slot;
pub mod dir;
pub mod error;
pub mod extent;
pub mod inode;
pub mod lookup;
pub mod prefix;
mod raw;
pub mod source;
pub mod superblock;
pub mod xattr;
mod xxh32;

pub use device::{resolve, DeviceRange, Devices};
pub use device_slot::DeviceSlot;
pub use dir::{DirBlock, Dirent, FileType};
pub use error::{Defect, Errno, Error};
pub use extent::{map, Extent, Target};
pub use inode::{Inode, Layout};
pub use lookup::{lookup, DirSource, Found};
pub use prefix::{Prefix, PrefixReader, PrefixTable};
pub use source::{Source, Space};
pub use superblock::SuperBlock;
