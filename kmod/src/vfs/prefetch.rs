// SPDX-License-Identifier: GPL-2.0

//! Prefetching from the daemon, ahead of sequential readers.
//!
//! A file that is read through the file of its blob has no readahead of its own:
//! cached data is read ahead in the page cache of the blob's file. The readahead
//! of a mapped file stops where it has to wait. Missing ranges are prefetched
//! here, further than readahead would, on a miss and as the reader advances. No
//! folios are allocated, and no task waits for the data.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    blob::Blob,
    extent::{Target, Waiting},
    read_request::ReadRequest,
    FileSystem, INode,
};
use crate::sys;
use core::sync::atomic::{
    AtomicI64,
    AtomicUsize,
    Ordering::Relaxed, //
};
use kernel::page::PAGE_SHIFT;

/// Unit of prefetching: 1 MiB of the file, aligned.
const PIECE: u64 = 1 << 20;
/// Largest window, in pieces.
const WINDOW_MAX: usize = 16;
/// Largest window, in bytes.
const WINDOW_LEN_MAX: u64 = PIECE * WINDOW_MAX as u64;
/// Growth of the window per step, as for the first windows of readahead: a reader
/// that has read one piece keeps the daemon busy from then on.
const WINDOW_GROWTH: usize = 4;

/// Prefetch state of an open regular file.
///
/// Readers that share an open file share it without a lock, as they share `f_ra`:
/// a lost update makes a worse guess. Core's atomics, since the kernel's are
/// function calls.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// `f_ra.prev_pos`: end of the last read.
    last_end: &'a AtomicI64,
    /// `private_data`, which regular files have no other use for: the window, in
    /// pieces. 0 if the reader has not missed, or is not sequential.
    pieces: &'a AtomicUsize,
}

impl Reader<'_> {
    /// The state of an open file.
    ///
    /// # Safety
    ///
    /// `file` is a regular file of our type, and open as long as the result is
    /// used.
    #[inline]
    pub(super) unsafe fn of(file: *mut sys::file) -> Self {
        // SAFETY: By the caller the file is valid. `prev_pos` is an aligned word
        // that the page cache accesses with plain loads and stores, which the
        // kernel's memory model takes for relaxed atomics. `private_data`, null
        // at first, is accessed here only; a pointer has the size and alignment
        // of a `usize`.
        unsafe {
            let state = &raw mut (*file).__bindgen_anon_3.f_ra;
            Self {
                last_end: AtomicI64::from_ptr(&raw mut (*state).prev_pos),
                pieces: AtomicUsize::from_ptr((&raw mut (*file).private_data).cast()),
            }
        }
    }

    /// Handles a miss of a read(2) at `position`: grows the window if the read is
    /// sequential and prefetches it, else closes it.
    ///
    /// `random` says that the file was declared to be read at random: it is never
    /// prefetched.
    pub(super) fn missed<F: FileSystem>(self, inode: &INode<F>, position: u64, random: bool) {
        let goes_on = position == 0 || self.last_end.load(Relaxed) == position.cast_signed();
        let pieces = if goes_on && !random {
            grown_window(self.pieces.load(Relaxed))
        } else {
            0
        };
        self.pieces.store(pieces, Relaxed);
        prefetch_pieces(inode, position, pieces);
    }

    /// Records that a read(2) has proceeded from `begin` to `end`. If it is
    /// sequential, enters another piece and has missed before, grows the window
    /// and prefetches it from `end` on.
    #[inline]
    pub(super) fn advanced<F: FileSystem>(self, inode: &INode<F>, begin: u64, end: u64) {
        let last_end = self.last_end.load(Relaxed);
        self.last_end.store(end.cast_signed(), Relaxed);
        if (begin ^ end) < PIECE || last_end != begin.cast_signed() {
            return;
        }
        let pieces = self.pieces.load(Relaxed);
        if pieces != 0 {
            let pieces = grown_window(pieces);
            self.pieces.store(pieces, Relaxed);
            prefetch_pieces(inode, end, pieces);
        }
    }
}

/// The size of the next window, in pieces.
fn grown_window(pieces: usize) -> usize {
    pieces.saturating_mul(WINDOW_GROWTH).clamp(1, WINDOW_MAX)
}

/// Prefetches for the readahead of a mapped or spliced file, of which `request`
/// is a part: if some of it is missing, or if the reader is sequential, as for
/// [`Reader::advanced`].
///
/// # Safety
///
/// `rac` is null or a valid readahead request.
pub(super) unsafe fn prefetch_window<F: FileSystem>(
    inode: &INode<F>,
    blob: &F::Blob,
    request: &ReadRequest,
    rac: *const sys::readahead_control,
) {
    // SAFETY: By the caller; a readahead request points to the state of its file,
    // or to null.
    let Some(state) = (unsafe { rac.as_ref().and_then(|rac| rac.ra.as_ref()) }) else {
        return;
    };
    let (position, len) = (request.position(), request.len());
    let end = position.saturating_add(len);
    // A sequential reader has a window of full size that is ahead of the reader
    // as a whole; read-around after a fault has its marker further on.
    let in_order = state.size >= state.ra_pages && state.async_size == state.size;
    if !blob.is_missing(request.address(), len) {
        if in_order && position ^ end >= PIECE {
            prefetch_pieces(inode, end, WINDOW_MAX);
        }
    } else if in_order {
        prefetch_pieces(inode, position, WINDOW_MAX);
    } else if position == 0 {
        prefetch_pieces(inode, 0, 1);
    } else {
        // Readers that fault at the same time share out the folios of one window.
        // The first one requests all of it. The state may already be that of
        // another window.
        let start = (state.start as u64) << PAGE_SHIFT;
        let window = start..start.saturating_add(u64::from(state.size) << PAGE_SHIFT);
        if window.contains(&position) {
            prefetch_range(inode, window.start, window.end);
        }
    }
}

/// Number of bytes from `position` to the end of the largest window.
///
/// A read(2) waits for that many at a time: it has no more READs outstanding than a
/// prefetch, whatever its length; it returns what has come when the rest fails; and
/// the time limit is one of a window.
pub(super) fn window_len(position: u64) -> u64 {
    WINDOW_LEN_MAX.wrapping_sub(position % PIECE)
}

/// Prefetches `inode` from `position` to the end of the `pieces`-th piece.
#[cold]
fn prefetch_pieces<F: FileSystem>(inode: &INode<F>, position: u64, pieces: usize) {
    let mut at = position;
    for _ in 0..pieces {
        let end = (at | PIECE.wrapping_sub(1)).saturating_add(1);
        prefetch_range(inode, at, end);
        at = end;
    }
}

/// Prefetches the missing pages of `[at, end)` of `inode`.
fn prefetch_range<F: FileSystem>(inode: &INode<F>, mut at: u64, end: u64) {
    let end = end.min(inode.size());
    while at < end {
        let want = end.wrapping_sub(at);
        // An error is for the read that needs the extent to report. Where metadata is
        // missing, the hint ends with the request for it.
        let Ok(extent) = inode.extent(at, want, Waiting::Never) else {
            return;
        };
        let skip = at.wrapping_sub(extent.start);
        let len = extent.len.wrapping_sub(skip).min(want);
        if len == 0 {
            return;
        }
        if let Target::Blob(blob, address) = extent.target {
            blob.prefetch(address.wrapping_add(skip), len);
        }
        at = at.wrapping_add(len);
    }
}
