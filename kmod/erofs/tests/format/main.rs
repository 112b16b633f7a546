// SPDX-License-Identifier: GPL-2.0

//! The rules of `spec/erofs-format.md`, each with bytes made by hand.

mod device;
mod dir;
mod extent;
mod hostile;
mod image;
mod inode;
mod lookup;
mod prefix;
mod superblock;
mod xattr;
