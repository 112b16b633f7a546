// SPDX-License-Identifier: GPL-2.0

//! Regular files: reading, seeking, mapping, and asking where the data is.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{ahead, aops, iomap, iomap::Target, xattr, Backing, FileSystem, INode, Present};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{prelude::*, uaccess::UserSlice};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::file_operations = &sys::file_operations {
        open: Some(open),
        llseek: Some(llseek::<F>),
        read_iter: Some(read_iter::<F>),
        mmap_prepare: Some(mmap_prepare::<F>),
        splice_read: Some(splice_read::<F>),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(sys::thp_get_unmapped_area),
        unlocked_ioctl: Some(ioctl::<F>),
        compat_ioctl: Some(ioctl::<F>),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// `inode` is new, of type `F`, and a regular file.
pub(super) unsafe fn set_up<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller.
    unsafe {
        (*inode).i_op = xattr::Table::<F>::FILE;
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
    // SAFETY: The VFS gives a file that is being opened, and its inode.
    unsafe {
        (*file).f_mode |= sys::ONDINE_CONST_FMODE_CAN_ODIRECT;
        sys::generic_file_open(inode, file)
    }
}

/// `file_operations.mmap_prepare`
///
/// # Safety
///
/// `desc` is a mapping to be of an open regular file of type `F`.
unsafe extern "C" fn mmap_prepare<F: FileSystem>(desc: *mut sys::vm_area_desc) -> c_int {
    // SAFETY: The VFS gives a mapping to be of a file of ours.
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
/// `file` is an open regular file of type `F`; the others are what
/// `filemap_splice_read()` takes.
unsafe extern "C" fn splice_read<F: FileSystem>(
    file: *mut sys::file,
    position: *mut i64,
    pipe: *mut sys::pipe_inode_info,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: The VFS gives an open file of ours, and what belongs to the call.
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
    // SAFETY: The VFS gives an open file of ours.
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
    // SAFETY: The VFS gives an inode of ours and a valid request.
    unsafe { sys::iomap_fiemap(inode, info, start, len, iomap::Table::<F>::OPS) }
}

/// `file_operations.read_iter`
///
/// Where an extent lies in a regular file, its bytes are read through that
/// file, whose page cache then holds the only copy of them, unless they are in
/// the inode's own page cache: what `mmap(2)` and `splice(2)` use. All else is
/// read through that.
///
/// # Safety
///
/// `kiocb` is a request on an open regular file of type `F`; only this call uses
/// it and `iter`.
unsafe extern "C" fn read_iter<F: FileSystem>(
    kiocb: *mut sys::kiocb,
    iter: *mut sys::iov_iter,
) -> isize {
    // SAFETY: The VFS gives a request on an open file of ours, of which nobody
    // else uses the kiocb and the iterator now.
    unsafe {
        let inode = (*(*(*kiocb).ki_filp).f_mapping).host;
        let direct = (*kiocb).ki_flags & sys::ONDINE_CONST_IOCB_DIRECT != 0;
        if (*(*inode).i_sb).s_bdev.is_null() {
            return read_through::<F>(INode::from_raw(inode), kiocb, iter, direct);
        }
        if direct {
            let ops = iomap::Table::<F>::OPS;
            let none = ptr::null();
            return sys::iomap_dio_rw(kiocb, iter, ops, none, 0, ptr::null_mut(), 0);
        }
        sys::filemap_read(kiocb, iter, 0)
    }
}

/// # Safety
///
/// As for the callback [`read_iter`]; `inode` is the one of the kiocb's file.
unsafe fn read_through<F: FileSystem>(
    inode: &INode<F>,
    kiocb: *mut sys::kiocb,
    iter: *mut sys::iov_iter,
    direct: bool,
) -> isize {
    // SAFETY: By the caller, here and below.
    let (reader, position, room) = unsafe {
        (
            ahead::Reader::of((*kiocb).ki_filp),
            (*kiocb).ki_pos.cast_unsigned(),
            sys::ondine_iov_iter_count(iter),
        )
    };
    let wanted = inode.size().saturating_sub(position).min(room as u64);
    let mut done = 0;
    while done < wanted {
        let begin = position.wrapping_add(done);
        // SAFETY: By the caller.
        match unsafe { read_extent(inode, kiocb, iter, wanted.wrapping_sub(done), direct) } {
            Ok(0) => break,
            Ok(read) => {
                done = done.wrapping_add(read as u64);
                reader.went_on(inode, begin, position.wrapping_add(done));
            }
            Err(_) if done != 0 => break,
            Err(error) => return error.to_errno() as isize,
        }
    }
    done as isize
}

/// Reads from the extent at the current position, at most to its end.
///
/// # Safety
///
/// As for [`read_through`]; `want` bytes fit into the iterator, and are there
/// before the end of the file.
unsafe fn read_extent<F: FileSystem>(
    inode: &INode<F>,
    kiocb: *mut sys::kiocb,
    iter: *mut sys::iov_iter,
    want: u64,
    direct: bool,
) -> Result<usize> {
    // SAFETY: By the caller.
    let position = unsafe { (*kiocb).ki_pos }.cast_unsigned();
    let extent = inode.extent(position, want)?;
    let skip = position.wrapping_sub(extent.start);
    let len = extent.len.wrapping_sub(skip).min(want);
    let file = match extent.target {
        Target::Blob(blob, address) => {
            let address = address.wrapping_add(skip);
            let file = match F::present(blob, address, len) {
                Present::File(file) => Some(file),
                Present::NoFile => None,
                // SAFETY: By the caller.
                Present::Missing => unsafe { fetch(inode, kiocb, blob, address, len) }?,
            };
            file.map(|file| (file, address))
        }
        Target::Hole | Target::Inline(..) => None,
    };
    let Some((file, address)) = file else {
        // SAFETY: By the caller; the inode's own page cache moves the position.
        return unsafe { shortened(iter, len, || own_page_cache(kiocb, iter)) };
    };
    let direct = direct && file.can_read_direct(address, len);
    let mut read = 0;
    if !direct {
        // SAFETY: The iterator has room for `len` bytes.
        read = unsafe { file.read_cached(iter, address, len) };
        if read == 0 {
            // SAFETY: As above; the inode is valid.
            read = unsafe {
                sys::ondine_read_mapped(inode.as_raw(), position.cast_signed(), len as usize, iter)
            };
        }
    }
    if read == 0 {
        // SAFETY: As above.
        read = unsafe { shortened(iter, len, || file.read_iter(iter, address, direct)) }?;
    }
    if read == 0 {
        // The blob ends before the file does.
        return Err(EIO);
    }
    // SAFETY: By the caller.
    unsafe { (*kiocb).ki_pos = position.wrapping_add(read as u64).cast_signed() };
    Ok(read)
}

/// Does `read` with an iterator that has room for `len` bytes and no more.
///
/// # Safety
///
/// `iter` is valid, and has room for `len` bytes at least.
unsafe fn shortened(
    iter: *mut sys::iov_iter,
    len: u64,
    read: impl FnOnce() -> Result<usize>,
) -> Result<usize> {
    // SAFETY: By the caller, here and below: what is cut off is given back.
    let room = unsafe { sys::ondine_iov_iter_count(iter) };
    // SAFETY: As above.
    unsafe { sys::ondine_iov_iter_truncate(iter, len) };
    let read = read();
    // SAFETY: As above.
    unsafe {
        let used = (len as usize).wrapping_sub(sys::ondine_iov_iter_count(iter));
        sys::ondine_iov_iter_reexpand(iter, room.wrapping_sub(used));
    }
    read
}

/// Waits until bytes of a blob are there: the file that holds them. Out of
/// line, since a hit has no use for it.
///
/// # Safety
///
/// As for [`read_through`].
#[cold]
#[inline(never)]
unsafe fn fetch<'a, F: FileSystem>(
    inode: &INode<F>,
    kiocb: *mut sys::kiocb,
    blob: &'a F::Blob,
    address: u64,
    len: u64,
) -> Result<Option<&'a Backing>> {
    // SAFETY: By the caller.
    unsafe {
        let file = (*kiocb).ki_filp;
        let random = (*file).f_mode & sys::ONDINE_CONST_FMODE_RANDOM != 0;
        let position = (*kiocb).ki_pos.cast_unsigned();
        ahead::Reader::of(file).missed(inode, position, random);
    }
    F::fetch(blob, address, len)
}

/// Reads through the inode's own page cache.
///
/// # Safety
///
/// As for the callback [`read_iter`].
unsafe fn own_page_cache(kiocb: *mut sys::kiocb, iter: *mut sys::iov_iter) -> Result<usize> {
    // SAFETY: By the caller.
    let read = unsafe { sys::filemap_read(kiocb, iter, 0) };
    usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))
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
    // SAFETY: The VFS gives an open file of ours.
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
