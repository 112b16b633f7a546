// SPDX-License-Identifier: GPL-2.0

//! The slab cache of inodes: the VFS inode and the file system's part.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use super::{extent_cache::ExtentCache, FileSystem};
use crate::sys;
use core::{
    marker::PhantomData,
    mem::{offset_of, MaybeUninit},
};
use kernel::{prelude::*, types::Opaque};

/// An object of the slab cache: the VFS inode and the file system's part.
#[repr(C)]
pub(super) struct Container<F: FileSystem> {
    /// The cache that the object belongs to. Needed to free it after an RCU grace
    /// period, when the super block may be gone.
    pub(super) slab: *mut sys::kmem_cache,
    /// Key in the inode cache; set before the inode is hashed.
    pub(super) nid: u64,
    /// Initialised before the inode is unlocked.
    pub(super) node: MaybeUninit<F::Node>,
    /// Initialised together with `node`.
    pub(super) extent: MaybeUninit<ExtentCache<F::Blob>>,
    pub(super) inode: Opaque<sys::inode>,
}

impl<F: FileSystem> Container<F> {
    /// Slab constructor: initialises the part of an inode that survives freeing.
    ///
    /// # Safety
    ///
    /// `object` is memory for a container that is not in use.
    unsafe extern "C" fn construct(object: *mut c_void) {
        // SAFETY: By the caller.
        unsafe {
            sys::inode_init_once(Opaque::cast_into(&raw const (*object.cast::<Self>()).inode))
        };
    }

    /// # Safety
    ///
    /// `inode` was allocated by `super_operations.alloc_inode` for the same `F`.
    pub(super) unsafe fn of(inode: *mut sys::inode) -> *mut Self {
        // SAFETY: By the caller, `inode` is the field of a container.
        unsafe { inode.byte_sub(offset_of!(Self, inode)).cast() }
    }
}

/// A slab cache of [`Container`] objects.
///
/// # Invariants
///
/// The pointer is to a slab cache of such objects, with [`Container::construct`]
/// as its constructor.
pub(super) struct InodeSlab<F: FileSystem>(*mut sys::kmem_cache, PhantomData<F>);

impl<F: FileSystem> InodeSlab<F> {
    pub(super) fn new() -> Result<Self> {
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
        // INVARIANT: Just created.
        Ok(Self(cache, PhantomData))
    }

    /// The slab cache.
    pub(super) fn as_raw(&self) -> *mut sys::kmem_cache {
        self.0
    }
}

impl<F: FileSystem> Drop for InodeSlab<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Every inode has been freed:
        // `FsType::unregister` waited for the frees, and a type that was not
        // registered has none.
        unsafe { sys::kmem_cache_destroy(self.0) };
    }
}
