// SPDX-License-Identifier: GPL-2.0

//! The rules of `docs/spec/erofs-format.md`, each tested with hand-made bytes.

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
