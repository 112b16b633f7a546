// SPDX-License-Identifier: GPL-2.0

//! The `file_operations` of regular files.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{aops, iomap, read, FileSystem, INode};
use crate::sys;
use core::marker::PhantomData;
use kernel::{prelude::*, uaccess::UserSlice};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::file_operations = &sys::file_operations {
        open: Some(open),
        llseek: Some(llseek::<F>),
        read_iter: Some(read::read_iter::<F>),
        mmap_prepare: Some(mmap_prepare::<F>),
        splice_read: Some(splice_read::<F>),
        setlease: Some(sys::ondine_setlease),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(sys::thp_get_unmapped_area),
        unlocked_ioctl: Some(ioctl::<F>),
        compat_ioctl: Some(ioctl::<F>),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// `inode` is new, of type `F`, and a regular file; its super block has its data.
pub(super) unsafe fn set_up<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller.
    unsafe {
        (*inode).__bindgen_anon_3.i_fop = Table::<F>::OPS;
        aops::set_up::<F>(inode);
    }
}

/// `file_operations.open`
///
/// # Safety
///
/// `file` is being opened on `inode`.
unsafe extern "C" fn open(inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    // SAFETY: By the caller.
    unsafe {
        (*file).f_mode |= sys::ONDINE_CONST_FMODE_CAN_ODIRECT;
        sys::generic_file_open(inode, file)
    }
}

/// `file_operations.mmap_prepare`
///
/// # Safety
///
/// `desc` describes a new mapping of an open regular file of type `F`.
unsafe extern "C" fn mmap_prepare<F: FileSystem>(desc: *mut sys::vm_area_desc) -> c_int {
    // SAFETY: By the caller.
    unsafe {
        let inode = (*(*(*desc).file).f_mapping).host;
        aops::allow_large_folios(INode::<F>::from_raw(inode));
        sys::generic_file_readonly_mmap_prepare(desc)
    }
}

/// `file_operations.splice_read`
///
/// # Safety
///
/// `file` is an open regular file of type `F`; the other arguments are valid for
/// `filemap_splice_read()`.
unsafe extern "C" fn splice_read<F: FileSystem>(
    file: *mut sys::file,
    position: *mut i64,
    pipe: *mut sys::pipe_inode_info,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: By the caller.
    unsafe {
        aops::allow_large_folios(INode::<F>::from_raw((*(*file).f_mapping).host));
        sys::filemap_splice_read(file, position, pipe, len, flags)
    }
}

/// `file_operations.llseek`
///
/// # Safety
///
/// `file` is an open regular file of type `F`.
unsafe extern "C" fn llseek<F: FileSystem>(
    file: *mut sys::file,
    offset: i64,
    whence: c_int,
) -> i64 {
    let ops = iomap::Table::<F>::OPS;
    // SAFETY: By the caller.
    unsafe {
        let inode = (*(*file).f_mapping).host;
        let found = match whence.cast_unsigned() {
            sys::SEEK_HOLE => sys::iomap_seek_hole(inode, offset, ops),
            sys::SEEK_DATA => sys::iomap_seek_data(inode, offset, ops),
            _ => return sys::generic_file_llseek(file, offset, whence),
        };
        if found < 0 {
            return found;
        }
        sys::vfs_setpos(file, found, (*(*inode).i_sb).s_maxbytes)
    }
}

/// `inode_operations.fiemap`
///
/// # Safety
///
/// `inode` is complete and of type `F`; `info` is a valid request.
pub(super) unsafe extern "C" fn fiemap<F: FileSystem>(
    inode: *mut sys::inode,
    info: *mut kernel::bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> c_int {
    // SAFETY: By the caller.
    unsafe { sys::iomap_fiemap(inode, info, start, len, iomap::Table::<F>::OPS) }
}

/// `file_operations.unlocked_ioctl`, of files and directories.
///
/// # Safety
///
/// `file` is open, and of type `F`.
pub(super) unsafe extern "C" fn ioctl<F: FileSystem>(
    file: *mut sys::file,
    command: c_uint,
    argument: c_ulong,
) -> c_long {
    if command != sys::ONDINE_CONST_FS_IOC_GETFSLABEL {
        return ENOTTY.to_errno() as c_long;
    }
    // SAFETY: By the caller.
    let inode = unsafe { INode::<F>::from_raw((*(*file).f_mapping).host) };
    let label = F::label(inode.super_block().data());
    let mut padded = [0u8; sys::FSLABEL_MAX as usize];
    for (to, from) in padded.iter_mut().zip(label) {
        *to = *from;
    }
    let user = UserSlice::new(UserPtr::from_addr(argument), padded.len());
    match user.writer().write_slice(&padded) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}
