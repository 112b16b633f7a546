// SPDX-License-Identifier: GPL-2.0

//! The cachefiles on-demand protocol, and the decisions of the cache, without the
//! kernel around them.
//!
//! This crate has no allocator, never panics and has no `unsafe`. The same files are
//! compiled by cargo (tests) and by Kbuild (`ondine.ko`). `docs/spec/` of the
//! repository specifies the protocol.
//!
//! The wire and the records:
//!
//! | module | content |
//! | --- | --- |
//! | [`message`] | messages that the daemon reads |
//! | [`command`] | commands that the daemon writes |
//! | [`errno`] | error numbers of the protocol |
//! | [`names`] | paths of cache files |
//! | [`limits`] | free space that the cache directory must keep |
//! | [`page`] | the unit in which cache files are filled |
//! | [`run`] | consecutive pages |
//! | [`presence`] | the pages that are in a cache file |
//! | [`requests`] | the request table |
//!
//! The decisions of the cache, generic over locks, time and wake-ups:
//!
//! | module | content |
//! | --- | --- |
//! | [`platform`] | the kernel services, as traits |
//! | [`state`] | the table and the session, which one lock protects |
//! | [`session`] | start, end and answers of the daemon |
//! | [`delivery`] | the next message for the daemon |
//! | [`contents`] | size and presence of an object |
//! | [`completion`] | the outcome of a request, and its wake-ups |
//! | [`submit`] | requests for missing pages |
//! | [`read`] | a read that waits |
//! | [`deferred`] | reads that wait without a task |
//! | [`deferred_list`] | those of an object, by what they wait for |
//! | [`deferred_count`] | their number |
//! | [`suspend`] | system suspend |
//! | [`writers`] | writes into a cache file that are in progress |
//! | [`sync`] | the atomic types |
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
pub mod completion;
pub mod contents;
pub mod deferred;
pub mod deferred_count;
pub mod deferred_list;
pub mod delivery;
pub mod errno;
pub mod limits;
pub mod message;
pub mod names;
mod number;
pub mod page;
pub mod platform;
pub mod presence;
pub mod read;
pub mod requests;
pub mod run;
pub mod session;
pub mod state;
pub mod submit;
pub mod suspend;
pub mod sync;
pub mod writers;

pub use command::{Answer, Command};
pub use completion::Completion;
pub use contents::Contents;
pub use errno::Errno;
pub use limits::Limits;
pub use message::Message;
pub use presence::Presence;
pub use run::Run;
