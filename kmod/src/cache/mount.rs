// SPDX-License-Identifier: GPL-2.0

//! The state that the on-demand blobs of one mount share.

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
use ondine_ondemand::{deferred_count::DeferredPages, platform::MountOps, requests::Lane, session};

/// The policy by which the reads of a mount wait for the daemon.
#[derive(Clone, Copy, Default)]
pub(crate) struct WaitPolicy {
    /// True if reads of missing pages wait for a daemon while there is none, instead
    /// of failing with EIO.
    pub(crate) hard: bool,
    /// The longest wait of a read.
    pub(crate) limit: Option<Msecs>,
}

/// An on-demand mount.
pub(crate) struct OnDemandMount {
    pub(super) cache: Arc<Cache>,
    volume: KVec<u8>,
    /// True if other mounts may use the same volume.
    shared: bool,
    policy: WaitPolicy,
    /// True if the mount is being forced away.
    aborted: Atomic<bool>,
    /// Reads that found their pages present. One of core's atomics, which are
    /// inlined: each hit counts, and the kernel crate's are calls.
    hits: AtomicU64,
    /// Counters of the other reads.
    counters: Counters,
    /// The lane of the mount's READs in the request table.
    lane: Arc<Lane>,
    /// Pages of folios that wait without a task.
    deferred_pages: DeferredPages,
}

impl OnDemandMount {
    /// A mount of the volume of `domain`, which it shares, or else of `fsid`, which
    /// no other mount uses at the same time.
    ///
    /// # Errors
    ///
    /// ENOMEM, also for a key that is too long, as in the C driver.
    pub(crate) fn new(
        cache: Arc<Cache>,
        domain: Option<&[u8]>,
        fsid: &[u8],
        policy: WaitPolicy,
    ) -> Result<Self> {
        let mut volume = KVec::new();
        volume.extend_from_slice(b"erofs,", GFP_KERNEL)?;
        volume.extend_from_slice(domain.unwrap_or(fsid), GFP_KERNEL)?;
        if volume.len() > ondine_ondemand::names::KEY_MAX {
            return Err(ENOMEM);
        }
        let lane = Arc::new(Lane::new(cache.new_lane()), GFP_KERNEL)?;
        Ok(Self {
            cache,
            lane,
            volume,
            shared: domain.is_some(),
            policy,
            aborted: Atomic::new(false),
            hits: AtomicU64::new(0),
            counters: Counters::new(),
            deferred_pages: DeferredPages::new(),
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

    /// Makes reads of missing pages fail, pending and future ones.
    ///
    /// Future ones too: a page fault retries the page of a failed readahead.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Relaxed);
        self.cache.wake_waiters();
    }

    /// Reverts [`Self::abort`].
    pub(crate) fn resume(&self) {
        self.aborted.store(false, Relaxed);
    }

    /// Waits until there is a session, or the mount is aborted.
    ///
    /// # Errors
    ///
    /// EINTR if the task is killed; ETIMEDOUT after `limit`.
    pub(super) fn wait_for_session(&self, limit: Option<Msecs>) -> Result {
        self.cache.sessions().wait(limit, || {
            session::is_alive(&*self.cache) || self.aborted.load(Relaxed)
        })
    }

    /// Counts a read that found its pages present.
    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a read that did not find its pages present.
    pub(super) fn count_miss(&self) {
        self.count(Counters::count_miss);
    }

    /// Counts for the mount, and for all mounts.
    fn count(&self, count: impl Fn(&Counters)) {
        count(&self.counters);
        count(self.cache.counters());
    }

    /// Reads that found their pages present.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// The other counters of the mount.
    pub(crate) fn counts(&self) -> Counts {
        self.counters.counts()
    }
}

impl MountOps<Cache> for Arc<OnDemandMount> {
    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    fn is_hard(&self) -> bool {
        self.policy.hard
    }

    fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    fn limit(&self) -> Option<Msecs> {
        self.policy.limit
    }

    fn elapsed(&self, since: Instant<Monotonic>) -> i64 {
        since.elapsed().as_millis()
    }

    fn begin_wait(&self) -> Instant<Monotonic> {
        self.count(Counters::begin_wait);
        Instant::now()
    }

    fn end_wait(&self, since: Instant<Monotonic>) {
        self.count(|counters| counters.end_wait(since));
    }

    fn deferred_pages(&self) -> &DeferredPages {
        &self.deferred_pages
    }

    fn count_requests(&self, requests: u64) {
        self.count(|counters| counters.count_requests(requests));
    }

    fn count_merged(&self) {
        self.count(Counters::count_merged);
    }

    fn start_timer(&self) {
        crate::vfs::start_timer();
    }
}
