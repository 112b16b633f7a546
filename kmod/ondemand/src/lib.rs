// SPDX-License-Identifier: GPL-2.0

//! The cachefiles on-demand protocol, without the kernel around it.
//!
//! What the kernel and a daemon say to each other, and what the kernel has to
//! remember of it, as plain values. This crate never allocates, never panics
//! and has no `unsafe`. The same files are compiled by cargo (tests, fuzzing)
//! and by Kbuild (`ondine.ko`).
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`message`] | which bytes does the daemon read? |
//! | [`command`] | what does the daemon write, and is it a command? |
//! | [`presence`] | which pages of a blob are in its cache file? |
//! | [`requests`] | what was asked of the daemon, and what ends it? |
//! | [`limits`] | how much of the cache's file system must stay free? |
//! | [`names`] | where does the cache file of an object lie? |
//! | [`errno`] | which error numbers does the protocol speak? |
//!
//! Section numbers in the documentation are those of
//! `spec/cachefiles-ondemand.md`.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod command;
pub mod errno;
pub mod limits;
pub mod message;
pub mod names;
mod number;
pub mod presence;
pub mod requests;

pub use command::{Answer, Command};
pub use errno::Errno;
pub use limits::Limits;
pub use message::Message;
pub use presence::{Presence, Run};
