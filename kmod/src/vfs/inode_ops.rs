// SPDX-License-Identifier: GPL-2.0

//! The `inode_operations` tables.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{acl, dir, file, xattr, FileSystem};
use crate::sys;
use core::marker::PhantomData;

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
        listxattr: Some(xattr::list::<F>),
        get_inode_acl: Some(acl::get::<F>),
        ..pin_init::zeroed()
    }
}
