// SPDX-License-Identifier: GPL-2.0

//! Getting inodes by nid, from the inode cache or from the image.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    aops, dir, extent_cache::ExtentCache, file, inode_ops, inode_slab::Container, FileKind,
    FileSystem, InodeAttributes, InodeRef, SuperBlock,
};
use crate::sys;
use core::ptr::NonNull;
use kernel::{prelude::*, sync::aref::ARef};

impl<F: FileSystem> SuperBlock<F> {
    /// The inode with this nid, from the inode cache or read from the image.
    ///
    /// # Errors
    ///
    /// Errors of [`FileSystem::read_inode`]; ENOMEM.
    pub(crate) fn inode(&self, nid: u64) -> Result<InodeRef<F>> {
        get(self, nid)
    }
}

/// Gets an inode from the inode cache, or reads it.
///
/// An inode is read before it is in the cache. The VFS waits unkillably for an
/// inode that is in the cache and not filled yet, as two names of one inode show,
/// whose metadata is missing:
///
/// ```text
/// task A: lookup of a/x             task B: lookup of b/x
///   not in the cache                  not in the cache
///   read_inode(): waits, killable     read_inode(): waits, killable
///   add the inode, fill it,
///     unlock it
///                                     the inode is in the cache by now:
///                                       drop what was read
/// ```
fn get<F: FileSystem>(sb: &SuperBlock<F>, nid: u64) -> Result<InodeRef<F>> {
    let ino = F::ino(sb.data(), nid);
    let mut key = nid;
    let key = (&raw mut key).cast();
    // SAFETY: The callback is called during this call, with inodes of this super
    // block and `key`.
    let cached = unsafe { sys::ilookup5(sb.as_raw(), ino, Some(is_nid::<F>), key) };
    if let Some(inode) = NonNull::new(cached) {
        // SAFETY: ilookup5() returns a reference, and waits for an inode that is
        // being filled, so that this one is complete.
        return Ok(unsafe { ARef::from_raw(inode.cast()) });
    }
    let (node, attributes) = F::read_inode(sb, nid)?;
    // SAFETY: As above.
    let inode =
        unsafe { sys::iget5_locked(sb.as_raw(), ino, Some(is_nid::<F>), Some(set_nid::<F>), key) };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // SAFETY: iget5_locked() returned a reference. A new inode is locked for this
    // task, and any other is complete, as above.
    unsafe {
        if sys::ondine_inode_is_new(inode.as_ptr()) {
            (*inode.as_ptr()).i_ino = ino;
            publish::<F>(inode.as_ptr(), node, attributes);
        }
        Ok(ARef::from_raw(inode.cast()))
    }
}

/// Fills an inode and unlocks it, which makes it visible to other tasks. Does not
/// sleep.
///
/// # Safety
///
/// `inode` is of type `F` and new (`I_NEW`), and locked by this task; its super
/// block has its data.
unsafe fn publish<F: FileSystem>(
    inode: *mut sys::inode,
    node: F::Node,
    attributes: InodeAttributes,
) {
    // SAFETY: By the caller; other tasks do not access the inode before it is
    // unlocked.
    unsafe {
        (*Container::<F>::of(inode)).node.write(node);
        (*Container::<F>::of(inode))
            .extent
            .write(ExtentCache::new());
        (*inode).i_mode = attributes.mode;
        (*inode).i_size = attributes.size.cast_signed();
        (*inode).i_blocks = attributes.blocks;
        sys::ondine_inode_set_owner(inode, attributes.uid, attributes.gid);
        sys::set_nlink(inode, attributes.nlink);
        sys::ondine_inode_set_times(inode, attributes.mtime, attributes.mtime_nsec);
        if attributes.no_acl {
            sys::ondine_inode_set_no_acl(inode);
        }
        match attributes.kind {
            FileKind::Regular => {
                (*inode).i_op = inode_ops::Table::<F>::FILE;
                file::set_up::<F>(inode);
            }
            FileKind::Directory => {
                (*inode).i_op = inode_ops::Table::<F>::DIRECTORY;
                dir::set_up::<F>(inode);
            }
            FileKind::Link(target) => set_up_link::<F>(inode, target),
            FileKind::Special(major, minor) => {
                (*inode).i_op = inode_ops::Table::<F>::SPECIAL;
                let device = sys::ondine_mkdev(major, minor);
                sys::init_special_inode(inode, attributes.mode, device);
            }
        }
        sys::unlock_new_inode(inode);
    }
}

/// # Safety
///
/// `inode` is new, of type `F`, and a symbolic link; its super block has its data.
unsafe fn set_up_link<F: FileSystem>(inode: *mut sys::inode, target: Option<KVec<u8>>) {
    // SAFETY: By the caller. The inode takes over a known target, which
    // `super_ops::free_inode` frees.
    unsafe {
        match target {
            Some(target) => {
                let len = target.len().saturating_sub(1) as c_int;
                let (data, _, _) = target.into_raw_parts();
                sys::ondine_inode_set_link(inode, data.cast(), len);
                (*inode).i_op = inode_ops::Table::<F>::FAST_LINK;
            }
            None => {
                sys::inode_nohighmem(inode);
                (*inode).i_op = inode_ops::Table::<F>::LINK;
                aops::set_up::<F>(inode);
            }
        }
    }
}

/// Callback of ilookup5() and iget5_locked(): compares the nid.
///
/// # Safety
///
/// `inode` is of type `F`, and has its nid; `key` points to a nid.
unsafe extern "C" fn is_nid<F: FileSystem>(inode: *mut sys::inode, key: *mut c_void) -> c_int {
    // SAFETY: By the caller. Inodes of the type are in containers, whose nid is
    // set before they are hashed.
    unsafe { ((*Container::<F>::of(inode)).nid == *key.cast::<u64>()).into() }
}

/// Callback of iget5_locked(): sets the nid of a new inode.
///
/// # Safety
///
/// `inode` is new and of type `F`; `key` points to a nid.
unsafe extern "C" fn set_nid<F: FileSystem>(inode: *mut sys::inode, key: *mut c_void) -> c_int {
    // SAFETY: By the caller; the inode is not hashed yet.
    unsafe { (*Container::<F>::of(inode)).nid = *key.cast::<u64>() };
    0
}
