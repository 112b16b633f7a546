// SPDX-License-Identifier: GPL-2.0

//! Registering a file system type, and the slab cache of its inodes.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/slab.h`](srctree/include/linux/slab.h)

use super::{batch, context, inode::Container, super_block, sysfs, FileSystem};
use crate::sys;
use core::{marker::PhantomData, mem::offset_of};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Acquire, Atomic, Release},
    types::Opaque,
};

/// Bytes of a file system type's name.
const NAME_MAX: usize = 32;

/// A registered file system type.
///
/// # Invariants
///
/// - `fs_type` is registered from the end of the initialiser to the drop.
/// - `cache` is the slab cache of `Container<F>` objects, and outlives every
///   inode of the type.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<F: FileSystem> {
    cache: InodeCache<F>,
    directory: sysfs::Directory,
    completions: batch::Completions,
    shared: F::Shared,
    /// Whether it may be mounted: not before all of the module is there. A module
    /// that fails to load goes without looking who uses it.
    open: Atomic<bool>,
    #[pin]
    fs_type: Opaque<sys::file_system_type>,
}

// SAFETY: After initialisation nothing is changed but by the VFS, which locks
// for itself.
unsafe impl<F: FileSystem> Send for Registration<F> {}
// SAFETY: No method takes `&self` and changes anything.
unsafe impl<F: FileSystem> Sync for Registration<F> {}

impl<F: FileSystem> Registration<F> {
    /// Registers the type under the name of the module parameter `fstype`.
    ///
    /// # Errors
    ///
    /// EINVAL if the name cannot be one; EBUSY if it is taken; ENOMEM.
    pub(crate) fn new(module: &'static ThisModule, shared: F::Shared) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            shared,
            open: Atomic::new(false),
            cache: InodeCache::new()?,
            directory: sysfs::Directory::new()?,
            completions: batch::Completions::new()?,
            fs_type <- Opaque::try_ffi_init(move |slot: *mut sys::file_system_type| {
                // SAFETY: `slot` is valid for writes, and all zeroes is an
                // empty, unregistered type.
                unsafe { slot.write_bytes(0, 1) };
                // SAFETY: As above; the parameter's string lives as long as
                // the module, and is not changed after loading (mode 0444).
                let fs_type = unsafe {
                    (*slot).name = sys::ondine_fstype;
                    (*slot).owner = module.as_ptr();
                    (*slot).init_fs_context = Some(context::init_fs_context::<F>);
                    (*slot).kill_sb = Some(super_block::kill_sb::<F>);
                    (*slot).fs_flags =
                        (sys::FS_REQUIRES_DEV | sys::FS_ALLOW_IDMAP).cast_signed();
                    slot
                };
                // SAFETY: As above; the string is NUL-terminated.
                let name = unsafe { CStr::from_char_ptr((*fs_type).name) };
                if !is_name(name.to_bytes()) {
                    pr_err!("fstype= takes 1 to 32 letters, digits, '-' and '_'\n");
                    return Err(EINVAL);
                }
                // SAFETY: `fs_type` is complete, and stays in place until the
                // drop unregisters it.
                let result = to_result(unsafe { sys::register_filesystem(fs_type) });
                if result == Err(EBUSY) {
                    pr_err!("file system type is registered already; choose another with fstype=\n");
                }
                result
            }),
        })
    }

    /// Lets the type be mounted. Nothing may fail after that.
    pub(crate) fn open(&self) {
        self.open.store(true, Release);
    }

    /// Whether the type can be mounted.
    ///
    /// # Safety
    ///
    /// `fs_type` is the field of a live `Registration<F>`.
    pub(super) unsafe fn is_open(fs_type: *mut sys::file_system_type) -> bool {
        // SAFETY: By the caller.
        unsafe { Self::of(fs_type) }.open.load(Acquire)
    }

    /// The slab cache of the inodes of `sb`.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of the file system type `F`.
    pub(super) unsafe fn cache_of(sb: *mut sys::super_block) -> *mut sys::kmem_cache {
        // SAFETY: A super block's type is set before any inode is allocated.
        let fs_type = unsafe { (*sb).s_type };
        // SAFETY: By the caller, `fs_type` is the field of a `Registration<F>`
        // (`Opaque` has the layout of what it wraps).
        unsafe { Self::of(fs_type) }.cache.0
    }

    /// What all super blocks of the type use.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of the file system type `F`.
    pub(super) unsafe fn shared_of<'a>(sb: *mut sys::super_block) -> &'a F::Shared {
        // SAFETY: As in `cache_of`.
        unsafe { &Self::of((*sb).s_type).shared }
    }

    /// The sysfs directory of the type.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of the file system type `F`.
    pub(super) unsafe fn directory_of<'a>(sb: *mut sys::super_block) -> &'a sysfs::Directory {
        // SAFETY: As in `cache_of`.
        unsafe { &Self::of((*sb).s_type).directory }
    }

    /// # Safety
    ///
    /// `fs_type` is the field of a live `Registration<F>`.
    unsafe fn of<'a>(fs_type: *mut sys::file_system_type) -> &'a Self {
        // SAFETY: By the caller the result is in bounds and valid; the
        // registration outlives its super blocks.
        unsafe { &*fs_type.byte_sub(offset_of!(Self, fs_type)).cast::<Self>() }
    }
}

#[pinned_drop]
impl<F: FileSystem> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the type is registered. Super blocks
        // hold the module; if it goes because loading it failed, there is none.
        unsafe { sys::unregister_filesystem(self.fs_type.get()) };
        // The cache goes with its field, after the last RCU-delayed free.
        // SAFETY: May be called in any sleepable context.
        unsafe { sys::rcu_barrier() };
    }
}

/// Whether a file system type can have this name: with a dot it would be taken for
/// one with a subtype, and the kernel has a `BUG` for that.
fn is_name(name: &[u8]) -> bool {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_MAX).contains(&name.len()) && name.iter().all(is_fit)
}

/// A slab cache of [`Container`] objects.
///
/// # Invariants
///
/// The pointer is a valid cache of objects of that size, with
/// [`Container::construct`] as its constructor.
struct InodeCache<F: FileSystem>(*mut sys::kmem_cache, PhantomData<F>);

impl<F: FileSystem> InodeCache<F> {
    fn new() -> Result<Self> {
        let mut args = sys::kmem_cache_args {
            ctor: Some(Container::<F>::construct),
            ..Default::default()
        };
        // SAFETY: Name and arguments are valid; the constructor is called with
        // objects of the size given here.
        let cache = unsafe {
            sys::__kmem_cache_create_args(
                c"ondine_inode".as_char_ptr(),
                size_of::<Container<F>>() as u32,
                &raw mut args,
                sys::ONDINE_CONST_SLAB_RECLAIM_ACCOUNT | sys::ONDINE_CONST_SLAB_ACCOUNT,
            )
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Created just above.
        Ok(Self(cache, PhantomData))
    }
}

impl<F: FileSystem> Drop for InodeCache<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; `Registration` waited for the frees.
        unsafe { sys::kmem_cache_destroy(self.0) };
    }
}
