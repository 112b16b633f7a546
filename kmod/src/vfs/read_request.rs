// SPDX-License-Identifier: GPL-2.0

//! Asynchronous reads of blobs into page cache folios.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    backing::{refuses_direct, Backing},
    credentials::Credentials,
    workqueue::WorkQueue,
};
use crate::sys;
use core::mem::{offset_of, MaybeUninit};
use kernel::{prelude::*, sync::Refcount, types::Opaque};

/// Method by which a [`ReadRequest`] reads its file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Through the page cache of the file, whose readahead serves the next
    /// request, under no lock of the file. The bytes are dropped from there once
    /// copied, so that no page is cached twice.
    Buffered,
    /// By direct I/O into the folios, submitted from a workqueue. The task that
    /// waits for the folios may hold locks of the file's file system, such as the
    /// inode lock in a `write(2)` that faults on our pages, and submitting a
    /// direct read takes the same kind. A file system that refuses the direct read
    /// is read through its page cache.
    Direct,
}

/// A read of a contiguous range of a blob into ranges of folios.
///
/// [`Self::read`] submits it. Dropping it fails the reads with EIO.
///
/// # Invariants
///
/// - Each vector is a range of a folio that iomap handed over and that has not
///   been finished. The folio stays locked, and so in its mapping, until then.
/// - `len` is the sum of the vectors' lengths.
pub(crate) struct ReadRequest {
    /// Position of the first byte in the file whose folios are filled.
    position: u64,
    /// Address of the first byte on the blob.
    address: u64,
    len: u64,
    /// The bytes were waited for, and counted as a hit or a miss.
    waited_for: bool,
    vectors: KVec<sys::bio_vec>,
}

// SAFETY: Any task may finish the read of a locked folio.
unsafe impl Send for ReadRequest {}

impl ReadRequest {
    /// Most ranges of a request; the rest goes to further requests.
    const MAX_RANGES: usize = 256;

    /// An empty request with room for `ranges` ranges, but at most
    /// [`Self::MAX_RANGES`]. `waited_for`: see [`Self::was_waited_for`].
    pub(super) fn new(
        position: u64,
        address: u64,
        ranges: usize,
        waited_for: bool,
    ) -> Result<Self> {
        Ok(Self {
            position,
            address,
            len: 0,
            waited_for,
            vectors: KVec::with_capacity(ranges.clamp(1, Self::MAX_RANGES), GFP_KERNEL)?,
        })
    }

    /// Returns whether the range at `address` can be pushed next.
    pub(super) fn follows(&self, address: u64) -> bool {
        self.address.wrapping_add(self.len) == address
            && self.vectors.len() < self.vectors.capacity()
    }

    /// Takes over a range of a folio; [`Self::follows`] returned true, or this is
    /// the first one.
    ///
    /// # Safety
    ///
    /// iomap handed the range over; the folio is locked.
    pub(super) unsafe fn push(&mut self, folio: *mut sys::folio, offset: usize, len: usize) {
        let mut vector = sys::bio_vec::default();
        // SAFETY: By the caller the folio is valid.
        unsafe { sys::ondine_bvec_from_folio(&raw mut vector, folio, offset, len) };
        // Does not fail: `new` made room for one, and `follows` checks for more.
        if self.vectors.push_within_capacity(vector).is_ok() {
            self.len = self.len.wrapping_add(len as u64);
        }
    }

    /// Position in the file whose folios are filled.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Address on the blob.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the bytes were waited for, and counted as a hit or a miss,
    /// before the request was made.
    pub(crate) fn was_waited_for(&self) -> bool {
        self.waited_for
    }

    /// Splits off the part behind the first `len` bytes, which end at a page of
    /// the blob. Returns `None`, with the request unchanged, if there is none or
    /// no memory.
    pub(crate) fn split_off(&mut self, len: u64) -> Option<Self> {
        let mut before = 0u64;
        let mut kept = 0usize;
        for vector in self.vectors.iter() {
            let end = before.wrapping_add(vector.bv_len.into());
            if end > len {
                break;
            }
            before = end;
            kept = kept.wrapping_add(1);
        }
        let moved = self.vectors.get(kept..).filter(|rest| !rest.is_empty())?;
        let mut vectors = KVec::with_capacity(moved.len(), GFP_KERNEL).ok()?;
        vectors.extend_from_slice(moved, GFP_KERNEL).ok()?;
        // A vector that is cut in two is in both requests.
        let cut = len.wrapping_sub(before) as u32;
        if let Some(first) = vectors.first_mut() {
            first.bv_offset = first.bv_offset.wrapping_add(cut);
            first.bv_len = first.bv_len.wrapping_sub(cut);
        }
        if let Some(last) = self.vectors.get_mut(kept) {
            last.bv_len = cut;
        }
        self.vectors
            .truncate(if cut == 0 { kept } else { kept.wrapping_add(1) });
        // INVARIANT: Each byte of the ranges is in one of the two requests.
        let rest = Self {
            position: self.position.wrapping_add(len),
            address: self.address.wrapping_add(len),
            len: self.len.wrapping_sub(len),
            waited_for: self.waited_for,
            vectors,
        };
        self.len = len;
        Some(rest)
    }

    /// Fails the reads with `error`.
    pub(crate) fn fail(mut self, error: Error) {
        self.finish(error.to_errno() as isize);
    }

    /// Ends the reads without a result: a task that needs one of the folios reads it by
    /// itself.
    pub(crate) fn give_back(mut self) {
        for vector in self.vectors.iter() {
            let mut offset = 0;
            // SAFETY: By the type invariants the folio is locked and not finished.
            unsafe {
                let folio = sys::ondine_bvec_folio(vector, &raw mut offset);
                sys::ondine_folio_give_back(folio, offset, vector.bv_len as usize);
            }
        }
        self.vectors.clear();
    }

    /// Submits the read of `file`. May return before it has completed.
    pub(crate) fn read(self, file: &Backing, mode: ReadMode) {
        let this = KBox::new(
            InFlight {
                kiocb: Opaque::zeroed(),
                work: Opaque::uninit(),
                users: Refcount::new(2),
                result: 0,
                request: self,
            },
            GFP_KERNEL,
        );
        // Without memory the request is dropped, which fails the reads.
        let Ok(this) = this else { return };
        let this = KBox::into_raw(this);
        // SAFETY: The allocation is ours until it is started or queued. `ki_filp`
        // gets a reference of its own.
        unsafe {
            let kiocb = (*this).kiocb.get();
            sys::ondine_init_kiocb(kiocb, sys::ondine_get_file(file.as_raw()));
            (*kiocb).ki_pos = (*this).request.address.cast_signed();
            (*kiocb).ki_complete = Some(complete);
            if mode == ReadMode::Direct {
                (*kiocb).ki_flags |= sys::ONDINE_CONST_IOCB_DIRECT;
                InFlight::queue(this, start_in_task);
            } else {
                InFlight::start(this);
            }
        }
    }

    /// Completes the reads; `result` is a number of bytes or a negative errno.
    fn finish(&mut self, result: isize) {
        // A read may be short if the blob ends in the last block of the file, but
        // not before the end of the file.
        let mut good = u64::try_from(result).unwrap_or(0);
        let errno = match c_int::try_from(result) {
            Ok(errno) if errno < 0 => errno,
            _ => EIO.to_errno(),
        };
        // Not an error, but fewer bytes than there are in the file.
        let mut is_cut = result >= 0;
        let mut position = self.position;
        for vector in self.vectors.iter() {
            let len = u64::from(vector.bv_len);
            let mut offset = 0;
            // SAFETY: By the type invariants the folio is locked and not
            // finished; a locked folio keeps its inode.
            unsafe {
                let folio = sys::ondine_bvec_folio(vector, &raw mut offset);
                let inode = sys::ondine_folio_inode(folio);
                let size = sys::ondine_i_size(inode).cast_unsigned();
                let needed = len.min(size.saturating_sub(position));
                if good >= needed {
                    // The rest of the block must not be visible.
                    let valid = needed as usize;
                    sys::ondine_folio_zero(
                        folio,
                        offset.wrapping_add(valid),
                        (len as usize).wrapping_sub(valid),
                    );
                    sys::iomap_finish_folio_read(folio, offset, len as usize, 0);
                } else {
                    if is_cut {
                        sys::ondine_log_cut(inode);
                        is_cut = false;
                    }
                    sys::iomap_finish_folio_read(folio, offset, len as usize, errno);
                }
            }
            good = good.saturating_sub(len);
            position = position.wrapping_add(len);
        }
        self.vectors.clear();
    }
}

impl Drop for ReadRequest {
    fn drop(&mut self) {
        self.finish(EIO.to_errno() as isize);
    }
}

/// `-EIOCBQUEUED`: the read completes by callback.
const EIOCBQUEUED: isize = -(sys::EIOCBQUEUED as isize);

/// A read request that was submitted, with its kiocb and work item.
///
/// # Invariants
///
/// `users` counts the submitter and the completion; the one that drops it to zero
/// frees the allocation. The kiocb owns a reference to its file.
struct InFlight {
    kiocb: Opaque<sys::kiocb>,
    work: Opaque<sys::work_struct>,
    users: Refcount,
    result: isize,
    request: ReadRequest,
}

impl InFlight {
    /// Submits the read. A read that is not asynchronous has completed on return.
    ///
    /// # Safety
    ///
    /// `this` is initialised and was not started; the caller gives up the
    /// reference of the submitter.
    unsafe fn start(this: *mut Self) {
        // SAFETY: By the caller.
        unsafe {
            let kiocb = (*this).kiocb.get();
            if (*kiocb).ki_flags & sys::ONDINE_CONST_IOCB_DIRECT != 0 {
                let mut iter = Self::destination(this);
                let read = {
                    let _credentials = Credentials::of((*(*kiocb).ki_filp).f_cred);
                    sys::vfs_iocb_iter_read((*kiocb).ki_filp, kiocb, &raw mut iter)
                };
                if read != EIOCBQUEUED {
                    complete(kiocb, read);
                }
            } else {
                let (address, len) = ((*this).request.address, (*this).request.len);
                complete(kiocb, Self::read_buffered(this));
                Self::drop_copied(this, address, len);
            }
            Self::release(this);
        }
    }

    /// Iterator over the ranges of the folios.
    ///
    /// # Safety
    ///
    /// `this` is valid, and its request not finished while the result is used.
    unsafe fn destination(this: *mut Self) -> sys::iov_iter {
        let mut iter = sys::iov_iter::default();
        // SAFETY: By the caller.
        unsafe {
            let request = &(*this).request;
            sys::iov_iter_bvec(
                &raw mut iter,
                sys::ONDINE_CONST_ITER_DEST,
                request.vectors.as_ptr(),
                request.vectors.len(),
                request.len as usize,
            );
        }
        iter
    }

    /// Reads through the page cache of the file, and returns the number of bytes
    /// or an errno. Uses a kiocb of its own: that of `this` may have failed.
    ///
    /// # Safety
    ///
    /// `this` is valid, and its request not finished and in no other read.
    unsafe fn read_buffered(this: *mut Self) -> isize {
        let mut kiocb = MaybeUninit::<sys::kiocb>::uninit();
        let kiocb = kiocb.as_mut_ptr();
        // SAFETY: By the caller; `ki_filp` is valid by the type invariants. The
        // call is synchronous: the kiocb has no completion.
        unsafe {
            let file = (*(*this).kiocb.get()).ki_filp;
            sys::ondine_init_kiocb(kiocb, file);
            (*kiocb).ki_pos = (*this).request.address.cast_signed();
            let mut iter = Self::destination(this);
            let _credentials = Credentials::of((*file).f_cred);
            sys::ondine_read_buffered(kiocb, &raw mut iter)
        }
    }

    /// Drops what [`Self::read_buffered`] left in the page cache of the file.
    ///
    /// # Safety
    ///
    /// The caller owns a reference to `this`.
    unsafe fn drop_copied(this: *mut Self, address: u64, len: u64) {
        // SAFETY: By the caller; the file is valid by the type invariants.
        unsafe {
            let file = (*(*this).kiocb.get()).ki_filp;
            sys::ondine_drop_copied((*file).f_mapping, address.cast_signed(), len as usize);
        }
    }

    /// Queues `function` to be called in a task of the workqueue.
    ///
    /// # Safety
    ///
    /// `this` is not freed before `function` has run, and its work item is not
    /// queued.
    unsafe fn queue(this: *mut Self, function: unsafe extern "C" fn(*mut sys::work_struct)) {
        // SAFETY: By the caller. The workqueue exists, see `WorkQueue::get`: the
        // locked folios of `this` keep their super block from being shut down.
        unsafe {
            let work = (*this).work.get();
            sys::ondine_init_work(work, Some(function));
            sys::ondine_queue_work(WorkQueue::as_raw(), work);
        }
    }

    /// # Safety
    ///
    /// The caller owns a reference, and gives it up.
    unsafe fn release(this: *mut Self) {
        // SAFETY: By the caller; the last reference is exclusive.
        unsafe {
            if (*this).users.dec_and_test() {
                sys::fput((*(*this).kiocb.get()).ki_filp);
                drop(KBox::from_raw(this));
            }
        }
    }
}

/// `kiocb.ki_complete`; may run in interrupt context.
///
/// # Safety
///
/// `kiocb` is the field of an [`InFlight`], and this is its only completion.
unsafe extern "C" fn complete(kiocb: *mut sys::kiocb, result: isize) {
    // SAFETY: By the caller, which passes on the reference of the completion.
    unsafe {
        let this = kiocb
            .byte_sub(offset_of!(InFlight, kiocb))
            .cast::<InFlight>();
        (*this).result = result;
        let whole = u64::try_from(result).is_ok_and(|read| read >= (*this).request.len);
        if whole {
            (*this).request.finish(result);
            InFlight::release(this);
        } else {
            // iomap reports errors through fsnotify, which takes locks that must
            // not be taken in an interrupt.
            InFlight::queue(this, complete_in_task);
        }
    }
}

/// Work function that submits a read.
///
/// # Safety
///
/// `work` is the field of an [`InFlight`] that [`ReadRequest::read`] queued.
unsafe extern "C" fn start_in_task(work: *mut sys::work_struct) {
    // SAFETY: By the caller, which queued it once, and passed on the reference of
    // the submitter. A work item may be reused while it runs.
    unsafe { InFlight::start(work.byte_sub(offset_of!(InFlight, work)).cast()) };
}

/// Work function that completes a failed or short read. A refused direct read is
/// repeated through the page cache.
///
/// # Safety
///
/// `work` is the field of an [`InFlight`] that [`complete`] queued.
unsafe extern "C" fn complete_in_task(work: *mut sys::work_struct) {
    // SAFETY: By the caller, which queued it once, and passed on the reference of
    // the completion.
    unsafe {
        let this = work.byte_sub(offset_of!(InFlight, work)).cast::<InFlight>();
        let (address, len) = ((*this).request.address, (*this).request.len);
        let mut result = (*this).result;
        let direct = (*(*this).kiocb.get()).ki_flags & sys::ONDINE_CONST_IOCB_DIRECT != 0;
        let refused = |errno| errno < 0 && refuses_direct(Error::from_errno(errno));
        let again = direct && c_int::try_from(result).is_ok_and(refused);
        if again {
            result = InFlight::read_buffered(this);
        }
        (*this).request.finish(result);
        if again {
            InFlight::drop_copied(this, address, len);
        }
        InFlight::release(this);
    }
}
