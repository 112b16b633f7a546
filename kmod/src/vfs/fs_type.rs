// SPDX-License-Identifier: GPL-2.0

//! The file system type: the state that all its super blocks share.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    inode_slab::InodeSlab, sysfs::Directory, timer::Timer, workqueue::WorkQueue, FileSystem,
};
use crate::sys;
use core::mem::offset_of;
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, //
    },
    types::Opaque,
};

/// A file system type, registered by [`Registration`](super::Registration).
///
/// The fields are dropped in order of declaration: the timer may queue work, and
/// work may use everything below.
///
/// # Invariants
///
/// `slab` holds the inodes of all super blocks of the type, and outlives them.
#[pin_data]
pub(super) struct FsType<F: FileSystem> {
    #[pin]
    timer: Timer<F::Shared>,
    workqueue: WorkQueue,
    directory: Directory,
    slab: InodeSlab<F>,
    shared: Arc<F::Shared>,
    /// Set once module init has succeeded. Mounting earlier would race with the
    /// error path of init, which unloads the module regardless of its refcount.
    open: Atomic<bool>,
    #[pin]
    raw: Opaque<sys::file_system_type>,
}

impl<F: FileSystem> FsType<F> {
    /// A type that is not registered, with the name and callbacks of `raw`.
    pub(super) fn new(
        raw: sys::file_system_type,
        shared: Arc<F::Shared>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            timer <- Timer::new(shared.clone()),
            workqueue: WorkQueue::new()?,
            directory: Directory::new()?,
            slab: InodeSlab::new()?,
            shared,
            open: Atomic::new(false),
            raw: Opaque::new(raw),
        })
    }

    /// Registers the type with the VFS.
    ///
    /// # Errors
    ///
    /// EBUSY if the name is taken.
    ///
    /// # Safety
    ///
    /// The type is pinned and not registered; [`Self::unregister`] is called
    /// before it is dropped.
    pub(super) unsafe fn register(&self) -> Result {
        // SAFETY: By the caller; the name and the callbacks are constants of the
        // module.
        to_result(unsafe { sys::register_filesystem(self.raw.get()) })
    }

    /// Unregisters the type, and waits until its last inode is freed.
    ///
    /// # Safety
    ///
    /// [`Self::register`] succeeded, and no super block of the type exists.
    pub(super) unsafe fn unregister(&self) {
        // SAFETY: By the caller. Inodes are freed after an RCU grace period,
        // which `rcu_barrier()`, callable wherever sleeping is, waits for.
        unsafe {
            sys::unregister_filesystem(self.raw.get());
            sys::rcu_barrier();
        }
    }

    /// Allows the type to be mounted.
    pub(super) fn open(&self) {
        self.open.store(true, Release);
    }

    /// Returns whether the type may be mounted.
    ///
    /// # Safety
    ///
    /// `raw` is the field of a live `FsType<F>`.
    pub(super) unsafe fn is_open(raw: *mut sys::file_system_type) -> bool {
        // SAFETY: By the caller.
        unsafe { Self::of(raw) }.open.load(Acquire)
    }

    /// The slab cache of the inodes of `sb`.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of the file system type `F`.
    pub(super) unsafe fn slab_of(sb: *mut sys::super_block) -> *mut sys::kmem_cache {
        // SAFETY: By the caller, `s_type` is the field of an `FsType<F>`; the VFS
        // sets it before it allocates an inode.
        unsafe { Self::of((*sb).s_type) }.slab.as_raw()
    }

    /// The state that all super blocks of the type share.
    ///
    /// # Safety
    ///
    /// `raw` is the field of an `FsType<F>` that lives for `'a`.
    pub(super) unsafe fn shared_of<'a>(raw: *mut sys::file_system_type) -> &'a Arc<F::Shared> {
        // SAFETY: By the caller.
        unsafe { &Self::of(raw).shared }
    }

    /// The sysfs directory of the type.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of the file system type `F`, for `'a`.
    pub(super) unsafe fn directory_of<'a>(sb: *mut sys::super_block) -> &'a Directory {
        // SAFETY: As in `slab_of`.
        unsafe { &Self::of((*sb).s_type).directory }
    }

    /// # Safety
    ///
    /// `raw` is the field of an `FsType<F>` that lives for `'a`: a super block
    /// holds the module, and so its type.
    unsafe fn of<'a>(raw: *mut sys::file_system_type) -> &'a Self {
        // SAFETY: By the caller; `Opaque` has the layout of the type it wraps.
        unsafe { &*raw.byte_sub(offset_of!(Self, raw)).cast::<Self>() }
    }
}
