// SPDX-License-Identifier: GPL-2.0

//! The EROFS on-disk format, as typed answers over hostile bytes.
//!
//! This crate is what the kernel module trusts with an image: it takes bytes
//! from a [`Source`] and answers questions about them. It never allocates,
//! never panics, keeps no state and has no `unsafe`. The same files are
//! compiled by cargo (tests, fuzzing) and by Kbuild (`ondine.ko`).
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`superblock`] | is this an image, and where do its parts begin? |
//! | [`device`] | which device and byte does an address mean? |
//! | [`inode`] | what does this nid say about itself? |
//! | [`extent`] | where are the bytes of a file at this position? |
//! | [`dir`] | which names does a directory block hold? |
//! | [`mod@lookup`] | which inode has this name in a directory? |
//! | [`xattr`] | which extended attributes has an inode? |
//! | [`prefix`] | which long prefixes do attribute names share? |
//! | [`source`] | how are image bytes fetched? |
//! | [`error`] | what was wrong, and which errno is that? |
//!
//! Section numbers in the documentation are those of `spec/erofs-format.md`.
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

pub use device::{resolve, DeviceSlot, Devices, Place};
pub use dir::{DirBlock, Dirent, FileType};
pub use error::{Defect, Errno, Error};
pub use extent::{map, Extent, Target};
pub use inode::{Inode, Layout};
pub use lookup::{lookup, DirSource, Found};
pub use prefix::{Prefix, PrefixReader, PrefixTable};
pub use source::{Source, Space};
pub use superblock::SuperBlock;
