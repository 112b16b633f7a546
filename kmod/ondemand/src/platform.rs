// SPDX-License-Identifier: GPL-2.0

//! The kernel services that the cache is made of, as traits: locks, wake-ups,
//! clocks and memory.
//!
//! `ondine.ko` implements them with the kernel's, the random scripts with a single
//! thread and a clock that they set, and the loom tests with loom's.

use crate::{
    completion::RequestObject,
    contents::Contents,
    deferred_count::DeferredPages,
    run::Run,
    state::{Memory, State},
    sync::{AtomicBool, AtomicU64},
};
use core::ops::{Deref, DerefMut};

/// A cache: its types, its lock and its wake-ups.
pub trait CacheOps: Memory<Object: ObjectOps<Self>> + Sized {
    /// The words of a presence record.
    type Words: Deref<Target = [AtomicU64]>;
    /// A reference to a mount.
    type Mount: MountOps<Self> + Clone;
    /// A moment in time.
    type Instant: Copy;
    /// Exclusive access to the state; unlocks when it is dropped.
    type Guard<'a>: DerefMut<Target = State<Self>>
    where
        Self: 'a;

    /// The most pages that one READ asks for: 1 MiB.
    const READ_PAGES: u64 = (1 << 20) >> crate::page::PAGE_SHIFT;

    /// The READs of a mount that the daemon has not read beyond which only a task that
    /// waits for a READ submits it: four windows of prefetch.
    const UNDELIVERED_MAX: usize = 64;

    /// Locks the state.
    fn lock(&self) -> Self::Guard<'_>;

    /// Returns whether there is a session, readable without the lock. Written with the lock
    /// held, together with the table.
    fn alive(&self) -> &AtomicBool;

    /// True while the system suspends.
    fn suspending(&self) -> &AtomicBool;

    /// Wakes the tasks that poll the device or a descriptor.
    fn wake_pollers(&self);

    /// Wakes all waiting tasks to re-check their condition, makes all deferred reads
    /// runnable, and queues the workers of all objects.
    fn wake_all_waiters(&self);
}

/// A reference to an object of a cache.
pub trait ObjectOps<C: CacheOps>: RequestObject {
    /// The key of the volume, as the daemon sees it.
    fn volume(&self) -> &[u8];

    /// The key of the object in its volume, as the daemon sees it.
    fn cookie(&self) -> &[u8];

    /// Size and presence, once the daemon has told the size.
    fn contents(&self) -> Option<&Contents<C::Words>>;

    /// Returns whether no mount uses the object any more.
    fn is_dropped(&self) -> bool;

    /// Calls `change` with exclusive access to the deferred prefetch: the pages to
    /// request once the size is known.
    fn with_deferred_prefetch<R>(&self, change: impl FnOnce(&mut Run) -> R) -> R;

    /// Returns whether all pages of `run` are present.
    #[inline]
    fn has(&self, run: Run) -> bool {
        self.contents().is_some_and(|contents| contents.has(run))
    }

    /// Returns whether the daemon may use the cache file: once it has told the size, and as
    /// long as a mount uses the object. After that the file may belong to another
    /// object, whose presence record would miss the writes.
    fn is_open(&self) -> bool {
        self.contents().is_some() && !self.is_dropped()
    }
}

/// A reference to an on-demand mount.
pub trait MountOps<C: CacheOps> {
    /// The cache.
    fn cache(&self) -> &C;

    /// The lane of the mount's READs.
    fn lane(&self) -> &C::Lane;

    /// Returns whether reads of missing pages wait for a daemon while there is none, instead
    /// of failing with EIO.
    fn is_hard(&self) -> bool;

    /// Returns whether reads of missing pages fail, because the mount is being forced away.
    fn is_aborted(&self) -> bool;

    /// The longest wait of a read in milliseconds; `None` for no limit.
    fn limit(&self) -> Option<u32>;

    /// Milliseconds since `since`.
    fn elapsed(&self, since: C::Instant) -> i64;

    /// Counts a read that starts to wait, and returns the time.
    fn begin_wait(&self) -> C::Instant;

    /// Counts the end of a wait that started at `since`.
    fn end_wait(&self, since: C::Instant);

    /// Number of pages in the deferred reads of the mount.
    fn deferred_pages(&self) -> &DeferredPages;

    /// Counts submitted READs.
    fn count_requests(&self, requests: u64);

    /// Counts a wait for a request that has another waiter.
    fn count_merged(&self);

    /// Starts the timer that makes all deferred reads runnable and queues the workers
    /// of their objects, once a second while there are any.
    fn start_timer(&self);
}
