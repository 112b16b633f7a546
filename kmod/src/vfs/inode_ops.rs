// SPDX-License-Identifier: GPL-2.0

//! The `inode_operations` tables.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{acl, dir, file, xattr, FileSystem};
use crate::sys;
use core::marker::PhantomData;
use kernel::prelude::*;

pub(super) struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    /// Operations of regular files.
    pub(super) const FILE: &'static sys::inode_operations = &sys::inode_operations {
        fiemap: Some(file::fiemap::<F>),
        ..operations::<F>()
    };

    /// Operations of directories.
    pub(super) const DIRECTORY: &'static sys::inode_operations = &sys::inode_operations {
        lookup: Some(dir::lookup::<F>),
        ..operations::<F>()
    };

    /// Operations of links whose target is in memory.
    pub(super) const FAST_LINK: &'static sys::inode_operations = &sys::inode_operations {
        get_link: Some(sys::simple_get_link),
        get_inode_acl: None,
        ..operations::<F>()
    };

    /// Operations of links whose target is read through the page cache.
    pub(super) const LINK: &'static sys::inode_operations = &sys::inode_operations {
        get_link: Some(sys::ondine_get_link),
        get_inode_acl: None,
        ..operations::<F>()
    };

    /// Operations of devices, fifos and sockets.
    pub(super) const SPECIAL: &'static sys::inode_operations = &operations::<F>();
}

/// Operations that all types of inodes have.
const fn operations<F: FileSystem>() -> sys::inode_operations {
    sys::inode_operations {
        getattr: Some(getattr),
        listxattr: Some(xattr::list::<F>),
        get_inode_acl: Some(acl::get::<F>),
        ..pin_init::zeroed()
    }
}

/// `inode_operations.getattr`
///
/// Reports the alignment of direct I/O on a block device. Elsewhere direct reads of
/// any alignment succeed, through the page cache of the file below if need be:
/// none is reported, as by the C driver.
///
/// # Safety
///
/// `path` is of a complete inode of ours, `idmap` the one of its mount; `stat` is
/// valid, and only this call uses it.
unsafe extern "C" fn getattr(
    idmap: *mut sys::mnt_idmap,
    path: *const sys::path,
    stat: *mut sys::kstat,
    mask: u32,
    _flags: c_uint,
) -> c_int {
    // SAFETY: By the caller; an inode's super block outlives it.
    unsafe {
        let inode = (*(*path).dentry).d_inode;
        sys::generic_fillattr(idmap, mask, inode, stat);
        let stat = &mut *stat;
        stat.attributes |= sys::ONDINE_CONST_STATX_ATTR_IMMUTABLE;
        stat.attributes_mask |=
            sys::ONDINE_CONST_STATX_ATTR_IMMUTABLE | sys::ONDINE_CONST_STATX_ATTR_COMPRESSED;
        let is_regular = u32::from((*inode).i_mode) & sys::S_IFMT == sys::S_IFREG;
        if mask & sys::ONDINE_CONST_STATX_DIOALIGN != 0 && is_regular {
            stat.result_mask |= sys::ONDINE_CONST_STATX_DIOALIGN;
            let bdev = (*(*inode).i_sb).s_bdev;
            if !bdev.is_null() {
                sys::ondine_stat_dio(stat, bdev);
            }
        }
    }
    0
}
