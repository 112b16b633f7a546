// SPDX-License-Identifier: GPL-2.0

//! The `super_operations` table.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{fs_type::FsType, inode_slab::Container, statfs, FileSystem, SuperBlock};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{prelude::*, types::Opaque};

pub(super) struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    pub(super) const OPS: &'static sys::super_operations = &sys::super_operations {
        alloc_inode: Some(alloc_inode::<F>),
        free_inode: Some(free_inode::<F>),
        drop_inode: Some(drop_inode),
        statfs: Some(statfs::statfs::<F>),
        show_options: Some(statfs::show_options::<F>),
        umount_begin: Some(umount_begin::<F>),
        ..pin_init::zeroed()
    };
}

/// `super_operations.drop_inode`
///
/// Keeps inodes without links cached. The default, `inode_generic_drop()`, evicts
/// an inode without links with its last reference, which may be dropped by memory
/// reclaim: eviction waits for the folios of a pending read, which wait for the
/// daemon, which may wait for memory. The link count is a number in the image and
/// does not matter.
///
/// # Safety
///
/// `inode` is valid, and locked.
unsafe extern "C" fn drop_inode(inode: *mut sys::inode) -> c_int {
    // SAFETY: By the caller.
    unsafe { sys::ondine_inode_is_unhashed(inode) }.into()
}

/// `super_operations.umount_begin`
///
/// # Safety
///
/// `sb` is mounted and of type `F`.
unsafe extern "C" fn umount_begin<F: FileSystem>(sb: *mut sys::super_block) {
    // SAFETY: By the caller.
    F::abort(unsafe { SuperBlock::<F>::from_raw(sb) }.data());
}

/// `super_operations.alloc_inode`
///
/// # Safety
///
/// `sb` is of type `F`.
unsafe extern "C" fn alloc_inode<F: FileSystem>(sb: *mut sys::super_block) -> *mut sys::inode {
    // SAFETY: By the caller; the objects of the slab cache are containers.
    unsafe {
        let slab = FsType::<F>::slab_of(sb);
        let object = sys::ondine_alloc_inode_sb(sb, slab).cast::<Container<F>>();
        if object.is_null() {
            return ptr::null_mut();
        }
        (*object).slab = slab;
        Opaque::cast_into(&raw const (*object).inode)
    }
}

/// `super_operations.free_inode`, called after an RCU grace period.
///
/// # Safety
///
/// `inode` came from [`alloc_inode`] for `F`, and is not used any more.
unsafe extern "C" fn free_inode<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller. The super block may be gone; the slab cache is not:
    // its drop comes after the `rcu_barrier()` of `FsType::unregister`. `i_link`
    // shares its memory with fields of other file types; of a link it is null or
    // was allocated by `KVec`, in `iget`.
    unsafe {
        if u32::from((*inode).i_mode) & sys::S_IFMT == sys::S_IFLNK {
            sys::kfree((*inode).__bindgen_anon_5.i_link.cast());
        }
        let container = Container::<F>::of(inode);
        sys::kmem_cache_free((*container).slab, container.cast());
    }
}
