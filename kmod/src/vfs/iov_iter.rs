// SPDX-License-Identifier: GPL-2.0

//! The destination of a read: `struct iov_iter`.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::sys;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

/// The memory that a read fills, which each copy shortens from the front.
///
/// Passed by value, and [`reborrow`](Self::reborrow)ed like a `&mut`, so that it
/// stays in a register.
///
/// # Invariants
///
/// The pointer is to an initialised iterator with direction `ITER_DEST`, which is
/// valid and used through `self` only during `'a`.
pub(super) struct IovIter<'a>(NonNull<sys::iov_iter>, PhantomData<&'a mut sys::iov_iter>);

impl IovIter<'_> {
    /// Wraps an iterator.
    ///
    /// # Safety
    ///
    /// `iter` is an initialised destination, and during the lifetime of the
    /// result it is valid and used through the result only.
    #[inline]
    pub(super) unsafe fn from_raw(iter: *mut sys::iov_iter) -> Self {
        // INVARIANT: By the caller.
        // SAFETY: A valid pointer is not null.
        Self(unsafe { NonNull::new_unchecked(iter) }, PhantomData)
    }

    /// The same iterator, for a call that takes it by value.
    #[inline]
    pub(super) fn reborrow(&mut self) -> IovIter<'_> {
        // INVARIANT: `self` cannot be used while the result is.
        IovIter(self.0, PhantomData)
    }

    /// The iterator, for a C function that copies to it.
    #[inline]
    pub(super) fn as_raw(&mut self) -> *mut sys::iov_iter {
        self.0.as_ptr()
    }

    /// Bytes that can still be copied to it.
    #[inline]
    pub(super) fn room(&self) -> usize {
        // SAFETY: Valid by the type invariants.
        unsafe { sys::ondine_iov_iter_count(self.0.as_ptr()) }
    }

    /// Calls `read` with the iterator limited to `len` bytes. Afterwards the
    /// iterator has the rest of its room again.
    #[inline]
    pub(super) fn limited(
        mut self,
        len: u64,
        read: impl FnOnce(IovIter<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let room = self.room();
        // SAFETY: Valid by the type invariants.
        unsafe { sys::ondine_iov_iter_truncate(self.as_raw(), len) };
        let limit = u64::min(room as u64, len) as usize;
        let read = read(self.reborrow());
        let used = limit.wrapping_sub(self.room());
        // SAFETY: As above. The iterator had `room` bytes, of which `used` are
        // consumed: what was cut off is given back, and no more.
        unsafe { sys::ondine_iov_iter_reexpand(self.as_raw(), room.wrapping_sub(used)) };
        read
    }
}
