// SPDX-License-Identifier: GPL-2.0

//! Where an image's bytes are kept.
//!
//! The file system above asks a [`Blob`] for bytes. A [`Local`](local::Local)
//! one has them all; of an on-demand one the pages that are missing are asked
//! of a daemon, and whoever needs them waits.
//!
//! | file | what is in it |
//! | --- | --- |
//! | [`blob`] | what the file system sees |
//! | [`local`] | a file or a block device |
//! | [`on_demand`] | an object as one mount uses it: hits, misses, waiting |
//! | [`asking`] | what a read asks for, and whether it may go on |
//! | [`parked`] | reads of folios that wait without a task |
//! | [`object`] | a cache file, and which of its pages are present |
//! | [`contents`] | size and presence of an object |
//! | [`mount`] | what the objects of a mount have in common |
//! | [`mounts`] | which mounts there are, and what they hit together |
//! | [`counters`] | what becomes of reads, counted |
//! | [`control`] | the cache: session, objects, who waits for a daemon |
//! | [`table`] | the request table in the kernel's memory |
//! | [`names`] | where a cache file lies |
//! | [`registry`] | which objects there are, and who uses them |
//! | [`report`] | the state of all that, as debugfs shows it |
//! | [`ticket`] | how a request ended, for those who wait for it |

mod asking;
mod blob;
mod contents;
mod control;
mod counters;
mod local;
mod mount;
mod mounts;
mod names;
mod object;
mod on_demand;
mod parked;
mod registry;
mod report;
mod table;
mod ticket;

pub(crate) use self::{
    blob::Blob,
    control::{Attached, Cache},
    counters::Counts,
    local::Local,
    mount::{Mount, Policy},
    mounts::Mounted,
    names::c_string,
    object::{Object, ObjectRef},
    on_demand::OnDemand,
    registry::Role,
    ticket::Ticket, //
};

use kernel::error::Error;

/// The kernel's error for one of the protocol.
pub(crate) fn error(errno: ondine_ondemand::Errno) -> Error {
    Error::from_errno(errno.number().wrapping_neg())
}
