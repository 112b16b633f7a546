// SPDX-License-Identifier: GPL-2.0

//! The locking of the cache, in every interleaving that loom finds.
//!
//! The crate's own source files are compiled into this test, with loom's atomics
//! under the name [`sync`]. [`double`] implements the kernel services with loom's
//! locks. Each scenario is played right, and with planted flaws: wrappers that do one
//! step of the shared code wrong, and that loom has to catch.

#[allow(dead_code, unreachable_pub, unused_imports, missing_docs)]
#[path = "../../src"]
mod ondemand {
    pub(crate) mod command;
    pub(crate) mod completion;
    pub(crate) mod contents;
    pub(crate) mod deferred;
    pub(crate) mod deferred_count;
    pub(crate) mod deferred_list;
    pub(crate) mod delivery;
    pub(crate) mod errno;
    pub(crate) mod limits;
    pub(crate) mod message;
    pub(crate) mod names;
    pub(crate) mod number;
    pub(crate) mod page;
    pub(crate) mod platform;
    pub(crate) mod presence;
    pub(crate) mod read;
    pub(crate) mod requests;
    pub(crate) mod run;
    pub(crate) mod session;
    pub(crate) mod state;
    pub(crate) mod submit;
    pub(crate) mod suspend;
    pub(crate) mod writers;
}

// The paths by which the crate's files name each other.
use ondemand::*;
use ondemand::{errno::Errno, requests::Map};

mod daemon;
mod deferring;
mod double;
mod opening;
mod serving;
mod sync;
#[path = "../support/tree.rs"]
mod tree;
mod wait_queue;
mod writing;

/// Runs every interleaving with at most three preemptions. loom also fails on a
/// deadlock, which is what a lost wake-up ends in.
fn interleave(scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(scenario);
}
