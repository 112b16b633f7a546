// SPDX-License-Identifier: GPL-2.0

//! The blobs of mounted images: local files and devices, and cache files that a
//! daemon fills.
//!
//! The decisions are in the pure crate `ondine_ondemand`, generic over locks, time
//! and wake-ups. This module implements them with the kernel's, and keeps what
//! needs memory and files.
//!
//! | file | content |
//! | --- | --- |
//! | [`blob`] | a blob, as the VFS sees it |
//! | [`local`] | a blob in a file or a block device |
//! | [`on_demand`] | a blob in a cache file: hits, misses, waits |
//! | [`deferred_read`] | reads of folios that wait without a task |
//! | [`object`] | a cache file: its keys, presence and waiters |
//! | [`object_size`] | the size of a cache file, and its record |
//! | [`mount`] | the state that the blobs of one mount share |
//! | [`mount_list`] | the on-demand mounts, and their hits |
//! | [`counters`] | counters of misses and waits |
//! | [`cache`] | the cache: its locks, its waiters, its objects |
//! | [`memory`] | the memory of the request table |
//! | [`path`] | the path of a cache file |
//! | [`registry`] | the objects in use |
//! | [`debugfs`] | the state file in debugfs |
//!
//! # Lock order
//!
//! ```text
//! Session::settings                one command of the daemon at a time
//!   Cache::making                  creation of an object, removal of a cache file
//!     (locks of the cache directory's file system)
//!     Cache::registry              the objects in use
//!     Cache::state                 request table and session
//! Object::sizing                   first answer to an OPEN
//! Object::writing                  the daemon's writes, shared; holes, alone
//!   (locks of the cache directory's file system)
//! Cache::registry, Cache::state
//!   Object::deferred               deferred reads become runnable
//!   wait queues, workqueue         wake-ups; spin locks
//! ```
//!
//! `registry` and `state` are never held together. `registry` is held while memory is
//! allocated, `state` is not. `Cache::mounts`, `Object::deferred_prefetch`
//! and `Object::deferred` are leaves: no other lock is taken while they are held.
//!
//! - *settings before making*: `cull` needs a session that stays bound.
//! - *making before registry*: two mounts of one object must not both find that it
//!   does not exist, and `cull` must not remove a file that a mount is about to use.
//!   `registry` alone would do, but creating a file sleeps, and reads take it.
//! - *making before state*: an object is made in the directory of the session.
//! - *registry before wake-ups*: an object whose waiters are woken must not go.
//! - *state before wake-ups*: the end of a session completes all requests in the
//!   critical section in which the table starts to refuse further ones. See
//!   [`ondine_ondemand::session::detach`].
//!
//! [`ondine_ondemand::submit`], [`ondine_ondemand::completion`] and
//! [`ondine_ondemand::deferred`] have the races of two CPUs as diagrams.

mod blob;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod cache;
mod counters;
mod debugfs;
mod deferred_read;
mod local;
mod memory;
mod mount;
mod mount_list;
mod object;
mod object_size;
mod on_demand;
mod path;
mod registry;

pub(crate) use self::{
    blob::Blob,
    cache::{Cache, CacheAttachment},
    counters::Counts,
    local::Local,
    mount::{OnDemandMount, WaitPolicy},
    mount_list::MountGuard,
    object::{Object, ObjectRef},
    on_demand::OnDemand,
    path::c_string,
    registry::Role, //
};

use kernel::error::Error;
use ondine_ondemand::Errno;

/// The kernel's error for an errno of the protocol.
pub(crate) fn error(errno: Errno) -> Error {
    Error::from_errno(errno.number().wrapping_neg())
}

/// The protocol's errno for an error of the kernel.
pub(crate) fn errno(error: Error) -> Errno {
    Errno::from_number(error.to_errno().wrapping_neg()).unwrap_or(Errno::EIO)
}
