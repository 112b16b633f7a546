// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A strict reader of EROFS images, written for clarity from docs/spec/erofs-format.md.
//!
//! [`Image::open`] performs the checks of mount(2); the other methods are the operations of a
//! mounted tree. Every refusal is a [`Fault`]: the defect (a row of [`crate::strictness`]), the
//! errno that user space gets, and a sentence.

mod acl;
mod address;
mod data;
mod device;
mod device_bytes;
mod directory;
mod fault;
mod fields;
mod image;
mod inode;
mod load;
mod metadata;
mod observe;
mod permission;
mod prefix;
mod superblock;
mod xattr;

pub use address::{MetadataAddress, Space};
pub use data::{Extent, Source};
pub use device::{Devices, Slot};
pub use device_bytes::DeviceBytes;
pub use directory::Dirent;
pub use fault::{Fault, Result};
pub use image::{Image, Setup};
pub use inode::{Inode, Layout, Version};

pub use prefix::Prefix;
pub use superblock::Superblock;
pub use xattr::{Origin, Xattr};
