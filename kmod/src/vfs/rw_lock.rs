// SPDX-License-Identifier: GPL-2.0

//! A lock that many tasks share, or that one task has alone.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use crate::sys;
use kernel::{
    prelude::*,
    types::{NotThreadSafe, Opaque},
};

/// A `struct rw_semaphore`; it protects no data of its own.
///
/// # Invariants
///
/// `raw` is initialised, and pinned.
#[pin_data]
pub(crate) struct RwLock {
    #[pin]
    raw: Opaque<sys::rw_semaphore>,
}

// SAFETY: A semaphore may be used from any task, and takes its own lock.
unsafe impl Send for RwLock {}
// SAFETY: As above.
unsafe impl Sync for RwLock {}

impl RwLock {
    /// An unlocked lock. All of them are one class for lockdep.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|raw: *mut sys::rw_semaphore| {
                // SAFETY: `raw` is valid for writes, and pinned.
                unsafe { sys::ondine_init_rwsem(raw) }
            }),
        })
    }

    /// Locks, shared with other callers of this function.
    pub(crate) fn share(&self) -> SharedGuard<'_> {
        // SAFETY: By the type invariants; this task may sleep.
        unsafe { sys::down_read(self.raw.get()) };
        SharedGuard(self, NotThreadSafe)
    }

    /// Locks alone: waits until no other guard is left.
    pub(crate) fn exclude(&self) -> ExclusiveGuard<'_> {
        // SAFETY: As above.
        unsafe { sys::down_write(self.raw.get()) };
        ExclusiveGuard(self, NotThreadSafe)
    }
}

/// A lock held by this task; dropping it unlocks.
#[must_use]
pub(crate) struct SharedGuard<'a>(&'a RwLock, NotThreadSafe);

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: This task has the lock: the guard does not leave it.
        unsafe { sys::up_read(self.0.raw.get()) };
    }
}

/// A lock held by this task; dropping it unlocks.
#[must_use]
pub(crate) struct ExclusiveGuard<'a>(&'a RwLock, NotThreadSafe);

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: This task has the lock: the guard does not leave it.
        unsafe { sys::up_write(self.0.raw.get()) };
    }
}
