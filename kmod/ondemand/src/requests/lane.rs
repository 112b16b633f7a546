// SPDX-License-Identifier: GPL-2.0

//! The lane of a mount: its turn in delivery, and its undelivered READs.

use crate::sync::{AtomicUsize, Relaxed};

/// The lane of a mount. The requests of a mount are delivered in their order, and
/// mounts take turns.
///
/// The table changes the number, and whoever locks the table may read it.
pub struct Lane {
    id: u64,
    /// READs of the mount that the daemon has not read.
    undelivered: AtomicUsize,
}

impl Lane {
    /// The lane of a mount with a number of its own, from 1 on.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            undelivered: AtomicUsize::new(0),
        }
    }

    /// The mount's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Number of READs of the mount that the daemon has not read.
    pub fn undelivered(&self) -> usize {
        self.undelivered.load(Relaxed)
    }

    pub(super) fn add(&self) {
        self.undelivered.fetch_add(1, Relaxed);
    }

    pub(super) fn remove(&self) {
        self.undelivered.fetch_sub(1, Relaxed);
    }
}
