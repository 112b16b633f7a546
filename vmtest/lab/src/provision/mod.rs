// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Tools, kernels, the module and the daemon: each is built once and kept in the cache under a hash
//! of its inputs.
//!
//! | module | contents |
//! | --- | --- |
//! | [`packages`] | packages of the machine's distribution |
//! | [`apt`] | downloads from newer Debian suites |
//! | [`version`] | comparison of package versions |
//! | [`source`], [`rust_src`], [`bindgen`] | inputs of a kernel's build |
//! | [`kernel`] | kernels |
//! | [`module`] | ondine.ko |
//! | [`daemon`] | `ondined` |
//! | [`erofs_utils`], [`nydus`] | image builders, and the daemon of nydus |
//! | [`virtme`] | virtme-ng, which starts QEMU |

pub mod apt;
pub mod bindgen;
pub mod daemon;
pub mod erofs_utils;
pub mod kernel;
pub mod module;
pub mod nydus;
pub mod packages;
pub mod rust_src;
pub mod source;
mod version;
pub mod virtme;
