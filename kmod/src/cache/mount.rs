// SPDX-License-Identifier: GPL-2.0

//! What the on-demand blobs of one mount have in common.

use super::{
    counters::{Counters, Counts},
    registry::Role,
    Cache,
    ObjectRef, //
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
    time::{Instant, Monotonic, Msecs},
};

/// How a mount bears with a daemon that does not answer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Policy {
    /// Whether reads of what is missing wait for another daemon when there is
    /// none; else they fail with EIO.
    pub(crate) hard: bool,
    /// How long a read waits at most.
    pub(crate) limit: Option<Msecs>,
}

/// An on-demand mount.
pub(crate) struct Mount {
    pub(super) cache: Arc<Cache>,
    volume: KVec<u8>,
    /// Whether other mounts may use the same volume.
    shared: bool,
    pub(super) policy: Policy,
    /// Whether it waits for nothing any more.
    aborted: Atomic<bool>,
    /// Reads that found their bytes present. One of core's atomics: each of them
    /// counts, and the kernel's are calls.
    hits: AtomicU64,
    /// What happened to the others.
    counters: Counters,
}

impl Mount {
    /// A mount of the volume with this key. If the volume is not `shared`, no
    /// other mount uses it at the same time.
    ///
    /// # Errors
    ///
    /// ENOMEM, also for a key that is too long, as in the C driver.
    pub(crate) fn new(
        cache: Arc<Cache>,
        domain: Option<&[u8]>,
        fsid: &[u8],
        policy: Policy,
    ) -> Result<Self> {
        let mut volume = KVec::new();
        volume.extend_from_slice(b"erofs,", GFP_KERNEL)?;
        volume.extend_from_slice(domain.unwrap_or(fsid), GFP_KERNEL)?;
        if volume.len() > ondine_ondemand::names::KEY_MAX {
            return Err(ENOMEM);
        }
        Ok(Self {
            cache,
            volume,
            shared: domain.is_some(),
            policy,
            aborted: Atomic::new(false),
            hits: AtomicU64::new(0),
            counters: Counters::new(),
        })
    }

    /// The object with this cookie key, which the daemon is asked to open.
    ///
    /// # Errors
    ///
    /// As [`Cache::object`].
    pub(super) fn object(&self, cookie: &[u8], role: Role) -> Result<ObjectRef> {
        self.cache.object(&self.volume, self.shared, cookie, role)
    }

    /// From now on reads of what is missing fail, also those that wait already.
    ///
    /// Not those alone: a page fault reads again what readahead has failed to.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Relaxed);
        self.cache.look_again();
    }

    /// Takes [`Self::abort`] back.
    pub(crate) fn resume(&self) {
        self.aborted.store(false, Relaxed);
    }

    /// Whether reads of what is missing fail.
    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    /// Waits until there is a session, or the mount is aborted.
    ///
    /// # Errors
    ///
    /// EINTR if the task is being killed; ETIMEDOUT after `limit`.
    pub(super) fn wait_for_session(&self, limit: Option<Msecs>) -> Result {
        self.cache.wait_for_session(limit, || self.is_aborted())
    }

    /// A read found its bytes present. Nothing that other mounts use is touched.
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// A read did not.
    pub(super) fn missed(&self) {
        self.count(Counters::missed);
    }

    /// A read asked for `requests` runs of pages.
    pub(super) fn asked(&self, requests: u64) {
        self.count(|counters| counters.asked(requests));
    }

    /// A read waits for a request that others wait for.
    pub(super) fn merged(&self) {
        self.count(Counters::merged);
    }

    /// A read begins to wait; [`Self::waited`] is to follow.
    pub(super) fn waits(&self) {
        self.count(Counters::waits);
    }

    /// A read has waited since `since`, and does so no more.
    pub(super) fn waited(&self, since: Instant<Monotonic>) {
        self.count(|counters| counters.waited(since));
    }

    /// Counts for the mount, and for all mounts.
    fn count(&self, count: impl Fn(&Counters)) {
        count(&self.counters);
        count(self.cache.counters());
    }

    /// Reads that found their bytes present.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// What the mount counts beside hits.
    pub(crate) fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// Counts a read that waits, until the result is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waits();
        Waiting {
            mount: self,
            since: Instant::now(),
        }
    }
}

/// A read that waits.
pub(super) struct Waiting<'a> {
    mount: &'a Mount,
    since: Instant<Monotonic>,
}

impl Waiting<'_> {
    /// When it began.
    pub(super) fn since(&self) -> Instant<Monotonic> {
        self.since
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.mount.waited(self.since);
    }
}

/// What is left of a time limit for one who waits since `since`.
///
/// # Errors
///
/// ETIMEDOUT if nothing is.
pub(super) fn time_left(since: Instant<Monotonic>, limit: Option<Msecs>) -> Result<Option<Msecs>> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    let left = i64::from(limit).saturating_sub(since.elapsed().as_millis());
    let left = Msecs::try_from(left).unwrap_or(0);
    (left != 0).then_some(Some(left)).ok_or(ETIMEDOUT)
}
