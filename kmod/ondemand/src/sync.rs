// SPDX-License-Identifier: GPL-2.0

//! The atomic types of this crate, in one place so that a test can replace them.
//!
//! These are core's. `tests/loom` compiles the same source files with loom's
//! types under this name, and runs them in every interleaving.
//!
//! # Memory order
//!
//! Rust's atomics and the kernel's never access the same location: each atomic
//! here is private to this crate. The one guarantee that is asked of Rust's
//! memory model is message passing by a release store and an acquire load. The
//! kernel's model gives it too, by the same instructions. Core's atomics are
//! inlined, which counts on the path of a read that hits; the kernel crate's
//! are calls of C helpers.

pub use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
