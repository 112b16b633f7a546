// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Making what a run needs, once: each thing is a step, kept in the cache under a hash of what it
//! is made from.

pub mod apt;
pub mod bindgen;
mod cache;
pub mod daemon;
pub mod erofs_utils;
pub mod kconfig;
pub mod kernel;
pub mod module;
pub mod nydus;
pub mod packages;
pub mod rust_src;
pub mod source;
mod step;
mod version;
pub mod virtme;

pub use cache::{Cache, Key};
pub use step::Step;
