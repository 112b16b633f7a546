// SPDX-License-Identifier: GPL-2.0

//! Calls of `read_iter` on regular files: `struct kiocb` and its iterator.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{iomap, iov_iter::IovIter, prefetch::Reader, FileSystem, INode};
use crate::sys;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::prelude::*;

/// A read of a regular file, from its current position on.
///
/// Passed by value like [`IovIter`].
///
/// # Invariants
///
/// - `kiocb` is a read request, valid and used through `self` only during `'a`.
/// - `ki_filp` is a regular file of type `F`, and open during `'a`.
/// - `ki_pos` is not negative.
pub(super) struct ReadCall<'a, F: FileSystem> {
    kiocb: NonNull<sys::kiocb>,
    iter: IovIter<'a>,
    file_system: PhantomData<(&'a mut sys::kiocb, &'a F)>,
}

impl<'a, F: FileSystem> ReadCall<'a, F> {
    /// Wraps the arguments of `file_operations.read_iter`.
    ///
    /// # Safety
    ///
    /// - `kiocb` is a read request on an open regular file of type `F`, at a
    ///   position that is not negative.
    /// - `iter` is an initialised destination.
    /// - Both are valid, and used through the result only, during `'a`.
    #[inline]
    pub(super) unsafe fn from_raw(kiocb: *mut sys::kiocb, iter: *mut sys::iov_iter) -> Self {
        // INVARIANT: By the caller.
        Self {
            // SAFETY: A valid pointer is not null.
            kiocb: unsafe { NonNull::new_unchecked(kiocb) },
            // SAFETY: By the caller.
            iter: unsafe { IovIter::from_raw(iter) },
            file_system: PhantomData,
        }
    }

    /// The same call, for a function that takes it by value.
    #[inline]
    pub(super) fn reborrow(&mut self) -> ReadCall<'_, F> {
        // INVARIANT: `self` cannot be used while the result is.
        ReadCall {
            kiocb: self.kiocb,
            iter: self.iter.reborrow(),
            file_system: PhantomData,
        }
    }

    #[inline]
    fn file(&self) -> *mut sys::file {
        // SAFETY: Valid by the type invariants.
        unsafe { (*self.kiocb.as_ptr()).ki_filp }
    }

    /// The inode that is read.
    #[inline]
    pub(super) fn inode(&self) -> &'a INode<F> {
        // SAFETY: By the type invariants; an open file holds its inode, which is
        // complete.
        unsafe { INode::from_raw((*(*self.file()).f_mapping).host) }
    }

    /// The state of the open file that prefetching uses.
    #[inline]
    pub(super) fn reader(&self) -> Reader<'a> {
        // SAFETY: By the type invariants.
        unsafe { Reader::of(self.file()) }
    }

    /// File position of the next byte to read.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        // SAFETY: Valid by the type invariants.
        unsafe { (*self.kiocb.as_ptr()).ki_pos }.cast_unsigned()
    }

    /// Moves the position on by `len` bytes that were read.
    #[inline]
    pub(super) fn advance(&mut self, len: usize) {
        // SAFETY: Valid by the type invariants.
        let position = unsafe { &mut (*self.kiocb.as_ptr()).ki_pos };
        // INVARIANT: A file ends below 2^63, and so does what was read of it.
        *position = position.wrapping_add(len as i64);
    }

    /// Returns whether the read is to bypass the page cache.
    #[inline]
    pub(super) fn is_direct(&self) -> bool {
        // SAFETY: Valid by the type invariants.
        unsafe { (*self.kiocb.as_ptr()).ki_flags & sys::ONDINE_CONST_IOCB_DIRECT != 0 }
    }

    /// Returns whether the file was declared to be read at random
    /// (`POSIX_FADV_RANDOM`).
    pub(super) fn is_random(&self) -> bool {
        // SAFETY: The file is open by the type invariants.
        unsafe { (*self.file()).f_mode & sys::ONDINE_CONST_FMODE_RANDOM != 0 }
    }

    /// Bytes that the caller has room for.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.iter.room()
    }

    /// The destination of the read.
    #[inline]
    pub(super) fn iter(&mut self) -> IovIter<'_> {
        self.iter.reborrow()
    }

    /// Reads up to `len` bytes through the page cache of the inode, and moves the
    /// position.
    ///
    /// # Errors
    ///
    /// Errors of `filemap_read()`.
    pub(super) fn read_page_cache(&mut self, len: u64) -> Result<usize> {
        let kiocb = self.kiocb.as_ptr();
        self.iter.reborrow().limited(len, |mut iter| {
            // SAFETY: Both are valid by the type invariants, and only this call
            // uses them. INVARIANT: The position stays below the file's end.
            let read = unsafe { sys::filemap_read(kiocb, iter.as_raw(), 0) };
            usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))
        })
    }

    /// Reads an inode whose super block is on a block device: all that fits, by
    /// direct I/O if the call asks for it. Returns bytes or a negative errno.
    pub(super) fn read_device(mut self) -> isize {
        let (direct, kiocb, iter) = (self.is_direct(), self.kiocb.as_ptr(), self.iter.as_raw());
        // SAFETY: Both are valid by the type invariants, and only this call uses
        // them; the operations are those of the inode's type.
        unsafe {
            if direct {
                let ops = iomap::Table::<F>::OPS;
                sys::iomap_dio_rw(kiocb, iter, ops, ptr::null(), 0, ptr::null_mut(), 0)
            } else {
                sys::filemap_read(kiocb, iter, 0)
            }
        }
    }
}
