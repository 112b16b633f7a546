// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The reader against bytes made by hand: every row of the table that an operation can meet, and its neighbours that
//! are sound.

mod bytes;
mod data;
mod directories;
mod inodes;
mod superblock;
mod xattrs;
