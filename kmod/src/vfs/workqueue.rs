// SPDX-License-Identifier: GPL-2.0

//! The module's workqueue, for work that must not run where it is found.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::sys;
use core::ptr;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    workqueue::Queue,
};

/// Workqueue for direct reads (submission takes inode locks), for completing
/// failed reads (fsnotify may sleep) and for work items.
///
/// Destroying it waits for its work, and so for the code of the module that the
/// work runs.
///
/// # Invariants
///
/// [`QUEUE`] names a live queue, which `self` owns, until the drop.
pub(super) struct WorkQueue(());

static QUEUE: Atomic<*mut sys::workqueue_struct> = Atomic::new(ptr::null_mut());

impl WorkQueue {
    /// Creates the queue; the module has one.
    ///
    /// # Errors
    ///
    /// EBUSY if there is one already; ENOMEM.
    pub(super) fn new() -> Result<Self> {
        if !QUEUE.load(Relaxed).is_null() {
            return Err(EBUSY);
        }
        // SAFETY: The name is a constant without format directives.
        let queue = unsafe { sys::ondine_alloc_workqueue(c"ondine".as_char_ptr()) };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Created just now; the drop destroys it.
        QUEUE.store(queue, Relaxed);
        Ok(Self(()))
    }

    /// The queue, or `None` before it is created and after it is destroyed.
    ///
    /// The queue outlives every caller of this function. It is dropped when the
    /// module exits or fails to load, and code of the module runs in
    /// - tasks inside a super block or an open file of the module, each of which
    ///   holds a reference of the module; while init may fail there are none,
    ///   since mounting is not allowed and the device is not registered yet;
    /// - the module's timer, which `FsType` stops before it drops the queue;
    /// - the notifier of system suspend, which the module drops before `FsType`;
    /// - work items, for which destroying the queue waits.
    pub(super) fn get() -> Option<&'static Queue> {
        let queue = QUEUE.load(Relaxed);
        if queue.is_null() {
            return None;
        }
        // SAFETY: Valid by the type invariants, and as long as it is used, see
        // above.
        Some(unsafe { Queue::from_raw(queue) })
    }

    /// As [`Self::get`], for `queue_work()`; null without a queue.
    pub(super) fn as_raw() -> *mut sys::workqueue_struct {
        QUEUE.load(Relaxed)
    }
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        let queue = QUEUE.xchg(ptr::null_mut(), Relaxed);
        // SAFETY: By the type invariants, and owned: no caller of `get` is left.
        unsafe { sys::destroy_workqueue(queue) };
    }
}
