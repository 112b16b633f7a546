// SPDX-License-Identifier: Apache-2.0 OR MIT

//! On-demand mounts in a guest: the daemon, its cache, the server that it fetches from.

mod cache;
mod counters;
mod daemon;
pub mod flight;
pub mod miss;
pub mod states;

pub(crate) use cache::files as cache_files;
pub use counters::Counters;
pub(crate) use counters::{State, STATE};
pub(crate) use daemon::{Blobs, Daemon};
