// SPDX-License-Identifier: GPL-2.0

//! Which on-demand mounts there are, and how often those hit that there were.
//!
//! A hit touches nothing that other mounts use. What all of them hit is summed up
//! when somebody asks.

use super::Mount;
use core::ops::Deref;
use kernel::{prelude::*, sync::Arc};

/// The mounts.
pub(super) struct Mounts {
    live: KVec<Arc<Mount>>,
    /// Hits of those that are gone.
    hits_gone: u64,
}

impl Mounts {
    /// None so far.
    pub(super) const fn new() -> Self {
        Self {
            live: KVec::new(),
            hits_gone: 0,
        }
    }

    /// Hits of all mounts that there were.
    pub(super) fn hits(&self) -> u64 {
        let live = self.live.iter().map(|mount| mount.hits());
        live.fold(self.hits_gone, u64::wrapping_add)
    }

    /// One less: it hits nothing any more.
    fn remove(&mut self, mount: &Arc<Mount>) {
        let found = self.live.iter().position(|one| Arc::ptr_eq(one, mount));
        if let Some(gone) = found.and_then(|at| self.live.remove(at).ok()) {
            self.hits_gone = self.hits_gone.wrapping_add(gone.hits());
        }
    }
}

/// A mount that is one of the cache's; its drop ends that.
pub(crate) struct Mounted(Arc<Mount>);

impl Mounted {
    /// Adds a mount to its cache.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(mount: Mount) -> Result<Self> {
        let mount = Arc::new(mount, GFP_KERNEL)?;
        mount.cache.mounts().live.push(mount.clone(), GFP_KERNEL)?;
        Ok(Self(mount))
    }
}

impl Deref for Mounted {
    type Target = Arc<Mount>;

    fn deref(&self) -> &Arc<Mount> {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.cache.mounts().remove(&self.0);
    }
}
