// SPDX-License-Identifier: GPL-2.0

//! The on-demand mounts of a cache, and the sum of their hits.
//!
//! A hit counts for its mount alone, and touches nothing that other mounts use. The
//! sum is made when it is read.

use super::OnDemandMount;
use core::ops::Deref;
use kernel::{prelude::*, sync::Arc};

/// The on-demand mounts.
pub(super) struct MountList {
    live: KVec<Arc<OnDemandMount>>,
    /// Hits of former mounts.
    hits_gone: u64,
}

impl MountList {
    /// An empty list.
    pub(super) const fn new() -> Self {
        Self {
            live: KVec::new(),
            hits_gone: 0,
        }
    }

    /// Hits of all mounts, including former ones.
    pub(super) fn hits(&self) -> u64 {
        let live = self.live.iter().map(|mount| mount.hits());
        live.fold(self.hits_gone, u64::wrapping_add)
    }

    /// Removes a mount that is not going to hit any more.
    fn remove(&mut self, mount: &Arc<OnDemandMount>) {
        let found = self.live.iter().position(|one| Arc::ptr_eq(one, mount));
        if let Some(gone) = found.and_then(|at| self.live.remove(at).ok()) {
            self.hits_gone = self.hits_gone.wrapping_add(gone.hits());
        }
    }
}

/// An on-demand mount in the list of its cache; dropping the guard removes it.
pub(crate) struct MountGuard(Arc<OnDemandMount>);

impl MountGuard {
    /// Adds a mount to the list of its cache.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(mount: OnDemandMount) -> Result<Self> {
        let mount = Arc::new(mount, GFP_KERNEL)?;
        mount.cache.mounts().live.push(mount.clone(), GFP_KERNEL)?;
        Ok(Self(mount))
    }
}

impl Deref for MountGuard {
    type Target = Arc<OnDemandMount>;

    fn deref(&self) -> &Arc<OnDemandMount> {
        &self.0
    }
}

impl Drop for MountGuard {
    fn drop(&mut self) {
        self.cache.mounts().remove(&self.0);
    }
}
