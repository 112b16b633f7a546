// SPDX-License-Identifier: GPL-2.0

//! One asynchronous read of a contiguous run of a file into page cache folios.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::backing::{Backing, Credentials};
use crate::sys;
use core::{mem::offset_of, ptr};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Refcount, //
    },
    types::Opaque,
    workqueue::Queue,
};

/// How a [`Batch`] reads its file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Through the file's page cache, whose readahead helps the next. What has
    /// been copied is dropped from there: no page stays cached twice.
    Buffered,
    /// Straight into our folios, from a task of its own: whoever waits for them
    /// may hold locks of the file's file system (a `write(2)` that faults on our
    /// pages holds an inode's), and a direct read takes the same kind.
    Direct,
}

/// Ranges of folios that are waiting for consecutive bytes of one blob.
///
/// Dropping a batch ends the reads with EIO; [`Self::read`] takes it over.
///
/// # Invariants
///
/// - Each vector is a range of a folio that iomap handed over and that nobody
///   has finished; the folio stays locked, and so in its mapping, until then.
/// - `len` is the sum of the vectors' lengths.
pub(crate) struct Batch {
    /// File position of the first byte, in the file being filled.
    position: u64,
    /// Byte address of the first byte, on the blob.
    address: u64,
    len: u64,
    /// Whether it was waited for, and counted, before.
    fetched: bool,
    vectors: KVec<sys::bio_vec>,
}

// SAFETY: Locked folios may be finished by any task.
unsafe impl Send for Batch {}

impl Batch {
    /// More ranges than this are submitted in several batches.
    const MAX_RANGES: usize = 256;

    /// An empty batch with room for `ranges` ranges at most, for bytes that were
    /// `fetched` already, or that may have to be waited for.
    pub(super) fn new(position: u64, address: u64, ranges: usize, fetched: bool) -> Result<Self> {
        Ok(Self {
            position,
            address,
            len: 0,
            fetched,
            vectors: KVec::with_capacity(ranges.clamp(1, Self::MAX_RANGES), GFP_KERNEL)?,
        })
    }

    /// Whether a range at `address` can be pushed next.
    pub(super) fn follows(&self, address: u64) -> bool {
        self.address.wrapping_add(self.len) == address
            && self.vectors.len() < self.vectors.capacity()
    }

    /// Takes over a range of a folio; there is room, by [`Self::follows`].
    ///
    /// # Safety
    ///
    /// iomap handed the range over; the folio is locked.
    pub(super) unsafe fn push(&mut self, folio: *mut sys::folio, offset: usize, len: usize) {
        let mut vector = sys::bio_vec::default();
        // SAFETY: By the caller the range is in the folio.
        unsafe { sys::ondine_bvec_from_folio(&raw mut vector, folio, offset, len) };
        // There is room: `new` made it for one, and `follows` looks.
        if self.vectors.push_within_capacity(vector).is_ok() {
            self.len = self.len.wrapping_add(len as u64);
        }
    }

    /// File position of the run.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Byte address of the run on its blob.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Length of the run in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether it was waited for, and counted as a hit or a miss, before.
    pub(crate) fn is_fetched(&self) -> bool {
        self.fetched
    }

    /// Takes what lies beyond the first `len` bytes, which end a page of the blob,
    /// away from the batch. `None` if there is nothing, or no memory for it: then
    /// the batch keeps all.
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
        // The vector that is cut in two, if there is one, is in both.
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
        // INVARIANT: Each byte of the ranges is in one of the two.
        let rest = Self {
            position: self.position.wrapping_add(len),
            address: self.address.wrapping_add(len),
            len: self.len.wrapping_sub(len),
            fetched: self.fetched,
            vectors,
        };
        self.len = len;
        Some(rest)
    }

    /// Ends the reads with `error`.
    pub(crate) fn fail(mut self, error: Error) {
        self.finish(error.to_errno() as isize);
    }

    /// Reads the run from `file`. Returns at once if the read goes on by
    /// itself; each folio's read ends exactly once, either way.
    pub(crate) fn read(self, file: &Backing, mode: ReadMode) {
        let request = KBox::new(
            Request {
                kiocb: Opaque::zeroed(),
                work: Opaque::uninit(),
                users: Refcount::new(2),
                result: 0,
                batch: self,
            },
            GFP_KERNEL,
        );
        // Out of memory: the batch has been dropped, and that ended the reads.
        let Ok(request) = request else { return };
        let request = KBox::into_raw(request);
        // SAFETY: The request is ours until it is started or queued. The file
        // reference is the request's own.
        unsafe {
            let kiocb = (*request).kiocb.get();
            sys::ondine_init_kiocb(kiocb, sys::ondine_get_file(file.as_raw()));
            (*kiocb).ki_pos = (*request).batch.address.cast_signed();
            (*kiocb).ki_complete = Some(complete);
            if mode == ReadMode::Direct {
                (*kiocb).ki_flags |= sys::ONDINE_CONST_IOCB_DIRECT;
                Request::later(request, start_in_task);
            } else {
                Request::start(request);
            }
        }
    }

    /// Ends all reads: `result` is the number of bytes read, or an errno.
    fn finish(&mut self, result: isize) {
        // A read may be short where the blob ends inside the file's last
        // block, but never before the end of the file.
        let mut good = u64::try_from(result).unwrap_or(0);
        let errno = match c_int::try_from(result) {
            Ok(errno) if errno < 0 => errno,
            _ => EIO.to_errno(),
        };
        let mut position = self.position;
        for vector in self.vectors.iter() {
            let len = u64::from(vector.bv_len);
            let mut offset = 0;
            // SAFETY: By the type invariants the folio is locked and ours to
            // finish; its inode lives while it is locked.
            unsafe {
                let folio = sys::ondine_bvec_folio(vector, &raw mut offset);
                let size = sys::ondine_i_size(sys::ondine_folio_inode(folio)).cast_unsigned();
                let needed = len.min(size.saturating_sub(position));
                if good >= needed {
                    // What the image has after the end of the file is not
                    // for anyone to see.
                    let valid = needed as usize;
                    sys::ondine_folio_zero(
                        folio,
                        offset.wrapping_add(valid),
                        (len as usize).wrapping_sub(valid),
                    );
                    sys::iomap_finish_folio_read(folio, offset, len as usize, 0);
                } else {
                    sys::iomap_finish_folio_read(folio, offset, len as usize, errno);
                }
            }
            good = good.saturating_sub(len);
            position = position.wrapping_add(len);
        }
        self.vectors.clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.finish(EIO.to_errno() as isize);
    }
}

/// `-EIOCBQUEUED`: the read goes on, and will complete by callback.
const EIOCBQUEUED: isize = -(sys::EIOCBQUEUED as isize);

/// A batch that is being read.
///
/// # Invariants
///
/// `users` counts the submitter and the completion; who takes it to zero frees
/// the request. The kiocb owns a reference of its file.
struct Request {
    kiocb: Opaque<sys::kiocb>,
    work: Opaque<sys::work_struct>,
    users: Refcount,
    result: isize,
    batch: Batch,
}

impl Request {
    /// Reads. What does not go on by itself has ended when this returns.
    ///
    /// # Safety
    ///
    /// The request is complete, and was not started; the caller is its first
    /// user, and is one no more.
    unsafe fn start(this: *mut Self) {
        // SAFETY: By the caller; the request stays as long as its two users,
        // this function and the completion, are not both gone.
        unsafe {
            let kiocb = (*this).kiocb.get();
            let file = (*kiocb).ki_filp;
            let batch = &(*this).batch;
            let (address, len) = (batch.address.cast_signed(), batch.len as usize);
            let mut iter = sys::iov_iter::default();
            sys::iov_iter_bvec(
                &raw mut iter,
                sys::ONDINE_CONST_ITER_DEST,
                batch.vectors.as_ptr(),
                batch.vectors.len(),
                len,
            );
            let read = {
                let _credentials = Credentials::of((*file).f_cred);
                sys::vfs_iocb_iter_read(file, kiocb, &raw mut iter)
            };
            if read != EIOCBQUEUED {
                complete(kiocb, read);
            }
            if (*kiocb).ki_flags & sys::ONDINE_CONST_IOCB_DIRECT == 0 {
                sys::ondine_drop_copied((*file).f_mapping, address, len);
            }
            Self::release(this);
        }
    }

    /// Has `function` called in a task of its own.
    ///
    /// # Safety
    ///
    /// The request stays until then, and nothing else of it is queued.
    unsafe fn later(this: *mut Self, function: unsafe extern "C" fn(*mut sys::work_struct)) {
        // SAFETY: By the caller.
        unsafe {
            let work = (*this).work.get();
            sys::ondine_init_work(work, Some(function));
            sys::ondine_queue_work(COMPLETIONS.load(Relaxed), work);
        }
    }

    /// # Safety
    ///
    /// The caller is one of the counted users, and is one no more.
    unsafe fn release(this: *mut Self) {
        // SAFETY: By the caller; the last user has it alone.
        unsafe {
            if (*this).users.dec_and_test() {
                sys::fput((*(*this).kiocb.get()).ki_filp);
                drop(KBox::from_raw(this));
            }
        }
    }
}

/// The workqueue that reads begin on, where they take locks, and end on, where
/// they end badly. The module has it to itself: unloading waits for the work, and so for its code.
///
/// # Invariants
///
/// The queue that [`COMPLETIONS`] names is alive while this is.
pub(super) struct Completions;

static COMPLETIONS: Atomic<*mut sys::workqueue_struct> = Atomic::new(ptr::null_mut());

impl Completions {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The name is a constant without format directives.
        let queue = unsafe { sys::ondine_alloc_workqueue(c"ondine".as_char_ptr()) };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Created just now; the drop destroys it.
        COMPLETIONS.store(queue, Relaxed);
        Ok(Self)
    }

    /// The queue, for what else is done later.
    pub(super) fn queue() -> &'static Queue {
        // SAFETY: By the type invariants: whoever has work to queue belongs to
        // a super block, whose type is registered until the drop.
        unsafe { Queue::from_raw(COMPLETIONS.load(Relaxed)) }
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        let queue = COMPLETIONS.load(Relaxed);
        // SAFETY: By the type invariants; no super block is left to read for.
        unsafe { sys::destroy_workqueue(queue) };
    }
}

/// `kiocb.ki_complete`; may run in interrupt context.
///
/// # Safety
///
/// `kiocb` is the field of a [`Request`] whose completion has not run.
unsafe extern "C" fn complete(kiocb: *mut sys::kiocb, result: isize) {
    // SAFETY: The kiocb is the first user's field, and the completion runs
    // once, as the second user.
    unsafe {
        let request = kiocb.byte_sub(offset_of!(Request, kiocb)).cast::<Request>();
        (*request).result = result;
        let whole = u64::try_from(result).is_ok_and(|read| read >= (*request).batch.len);
        if whole {
            (*request).batch.finish(result);
            Request::release(request);
        } else {
            // Errors are reported through fsnotify, which takes locks that an
            // interrupt must not.
            Request::later(request, complete_in_task);
        }
    }
}

/// Work function of a read that is to begin.
///
/// # Safety
///
/// `work` is the field of a [`Request`] that [`Batch::read`] queued.
unsafe extern "C" fn start_in_task(work: *mut sys::work_struct) {
    // SAFETY: `Batch::read` queued the field of a request once, and left its use
    // of the request to us. A work item that runs may be used anew.
    unsafe { Request::start(work.byte_sub(offset_of!(Request, work)).cast()) };
}

/// Work function of a read that did not go well.
///
/// # Safety
///
/// `work` is the field of a [`Request`] that [`complete`] queued.
unsafe extern "C" fn complete_in_task(work: *mut sys::work_struct) {
    // SAFETY: `complete` queued the field of a request once, and left its use
    // of the request to us.
    unsafe {
        let request = work.byte_sub(offset_of!(Request, work)).cast::<Request>();
        let result = (*request).result;
        (*request).batch.finish(result);
        Request::release(request);
    }
}
