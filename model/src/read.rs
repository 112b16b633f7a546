// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A strict reader of EROFS images, written for clarity from spec/erofs-format.md (the sections cited here).
//!
//! [`Image::open`] does what mount(2) does; the rest are the operations of a mounted tree. Every refusal is a
//! [`Fault`]: the defect (a row of [`crate::strictness`]), the errno that user space sees, and a sentence.

mod acl;
mod data;
mod device;
mod directory;
mod fault;
mod fields;
mod image;
mod inode;
mod metadata;
mod observe;
mod permission;
mod prefix;
mod store;
mod superblock;
mod xattr;

pub use data::{Extent, Source};
pub use device::{Devices, Slot};
pub use directory::Dirent;
pub use fault::{Fault, Result};
pub use image::{Image, Setup};
pub use inode::{Inode, Layout, Version};
pub use metadata::{Place, Space};
pub use prefix::Prefix;
pub use store::Store;
pub use superblock::Superblock;
pub use xattr::{Origin, Xattr};
