// SPDX-License-Identifier: GPL-2.0

//! Random scripts: this crate against the model. Two machines that share no code must
//! tell a daemon and its readers the same, whatever either of them does.
//!
//! All of the crate takes part: requests, sessions, delivery, reads of tasks and
//! deferred reads. The files here stand in for the kernel around it: memory, one
//! thread in place of locks, a clock that the script sets, and wait queues.
//!
//! 256 scripts are played; `PROPTEST_CASES` asks for more.

use ondine_ondemand::requests::Map;

mod cache;
mod device;
mod limits;
mod play;
mod scripts;
mod seen;
mod task;
#[path = "../support/tree.rs"]
mod tree;
mod world;
