// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Reference model of Ondine: an independent implementation of the EROFS format and of the on-demand
//! protocol, and the observations that every check compares.
//!
//! Shares no code with `kmod`, not even a constant: to remain undetected, a bug must be made twice in
//! different ways.
//!
//! | module | contents |
//! | --- | --- |
//! | [`tree`] | description of a tree: the known truth of a comparison |
//! | [`mod@write`] | writer of images from a description, for every feature of the uncompressed format |
//! | [`read`] | strict reader of images, with the operations of a mounted file system |
//! | [`check`] | search for all defects of an image |
//! | [`strictness`] | table of defects: errnos of the C driver and of Ondine, with reasons |
//! | [`observe`] | observer of a mounted tree or a directory, through system calls |
//! | [`observation`] | canonical description of a tree as observed, and the comparison of two of them |
//! | [`generate`] | proptest strategies: trees, image options, damage, protocol scripts |
//! | [`protocol`] | state machine of the kernel's side of the cachefiles on-demand protocol |
//!
//! The program `ondine-model` (`main.rs`, `cli`) inspects images with the reader.

pub mod check;
pub mod generate;
pub mod observation;
pub mod observe;
pub mod protocol;
pub mod read;
pub mod strictness;
pub mod tree;
pub mod write;
