// SPDX-License-Identifier: Apache-2.0 OR MIT

//! On-demand mounts in a guest: the daemon, its cache, and the HTTP server that it fetches from.

pub(crate) mod cache_files;
pub(crate) mod cache_states;
pub(crate) mod counters;
pub(crate) mod ondined;
