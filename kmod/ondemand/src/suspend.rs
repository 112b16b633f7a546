// SPDX-License-Identifier: GPL-2.0

//! System suspend.
//!
//! The kernel freezes all tasks first, in any order: a daemon that is frozen answers
//! nothing. A task that waits for it can be frozen as well, but not one that waits for
//! the lock of a folio. So no folio is locked for the daemon's sake while the system
//! suspends: deferred reads fail, and a task that needs one of their folios reads it and
//! waits by itself, without the folio's lock.

use crate::{
    platform::CacheOps,
    sync::{Acquire, Release},
};

/// Has deferred reads fail from now on, until [`end`].
///
/// Of those that are stepped at this moment, see the worker's last look in
/// [`deferred`](crate::deferred): it includes this.
pub fn begin<C: CacheOps>(cache: &C) {
    cache.suspending().store(true, Release);
    cache.wake_all_waiters();
}

/// Lets folios wait again.
pub fn end<C: CacheOps>(cache: &C) {
    cache.suspending().store(false, Release);
}

/// Returns whether the system suspends.
pub(crate) fn is_suspending<C: CacheOps>(cache: &C) -> bool {
    cache.suspending().load(Acquire)
}
