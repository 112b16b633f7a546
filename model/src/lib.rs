// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The reference model: an independent EROFS reader and the observations that every check compares.
//!
//! Nothing here is shared with `kmod`, not even a constant: a bug must be made twice, differently, to hide.

pub mod check;
pub mod generate;
pub mod observation;
pub mod observe;
pub mod protocol;
pub mod read;
pub mod strictness;
pub mod tree;
pub mod write;
