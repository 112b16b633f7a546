// SPDX-License-Identifier: GPL-2.0

//! `wait_event()`, `wake_up()` and a work item, of loom's locks.

use loom::sync::{Condvar, Mutex};

/// Tasks that wait for a condition. A wake-up takes the lock of the queue, so that it
/// comes before or after a check of the condition, not in between check and sleep.
pub(crate) struct WaitQueue {
    lock: Mutex<()>,
    sleepers: Condvar,
}

impl WaitQueue {
    pub(crate) fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            sleepers: Condvar::new(),
        }
    }

    pub(crate) fn wait_until(&self, condition: impl Fn() -> bool) {
        let mut lock = self.lock.lock().unwrap();
        while !condition() {
            lock = self.sleepers.wait(lock).unwrap();
        }
    }

    pub(crate) fn wake(&self) {
        let _lock = self.lock.lock().unwrap();
        self.sleepers.notify_all();
    }
}

/// Work of a queue: it runs once for any number of calls of [`Self::queue`] before it,
/// and once more for those while it runs.
pub(crate) struct Work {
    queued: Mutex<bool>,
    changed: Condvar,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            queued: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn queue(&self) {
        *self.queued.lock().unwrap() = true;
        self.changed.notify_one();
    }

    /// Waits until the work is queued, and takes it out of the queue.
    pub(crate) fn take(&self) {
        let mut queued = self.queued.lock().unwrap();
        while !*queued {
            queued = self.changed.wait(queued).unwrap();
        }
        *queued = false;
    }
}
