// SPDX-License-Identifier: GPL-2.0

//! Raw bindings: those of the kernel crate, those that our own bindgen run adds,
//! and our C functions.
//!
//! For use in [`crate::vfs`] and [`crate::device`] only.

#![allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ptr_cast_constness,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    improper_ctypes
)]

pub(crate) use kernel::bindings::*;
use pin_init::MaybeZeroable;

include!(concat!(env!("ONDINE_OBJ"), "/bindings_generated.rs"));
