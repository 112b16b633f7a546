// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The reader against hand-made bytes: every row of the strictness table that an operation can
//! encounter, and similar images that are valid.

mod bytes;
mod data;
mod directories;
mod inodes;
mod superblock;
mod xattrs;
