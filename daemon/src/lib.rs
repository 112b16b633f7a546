// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The user side of on-demand loading: a daemon that fetches what a mounted image misses.
//!
//! `protocol` speaks to `/dev/cachefiles` and knows nothing of where bytes come from; `backend` has
//! the bytes and knows nothing of the kernel.

#![deny(unsafe_code)]

pub mod backend;
pub mod plan;
pub mod protocol;
pub mod session;
