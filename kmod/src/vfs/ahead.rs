// SPDX-License-Identifier: GPL-2.0

//! Asking for what a reader is going to miss.
//!
//! A file that is read through the file of its blob has no readahead of its own:
//! what is there is read ahead in the blob's page cache. And the page cache's
//! readahead of a mapped file stops where it has to wait. What is not there is
//! asked for here, further ahead, when a read misses and whenever the reader
//! gets on. No folio is held by that, and nobody waits.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{batch::Batch, iomap::Target, FileSystem, INode};
use crate::sys;
use core::sync::atomic::{
    AtomicI64,
    AtomicUsize,
    Ordering::Relaxed, //
};
use kernel::page::PAGE_SHIFT;

/// What is asked for at once: 1 MiB of the file, aligned.
const PIECE: u64 = 1 << 20;
/// The most pieces that are asked for ahead of a reader.
const PIECES_MAX: usize = 16;
/// The window grows by this factor, as the first ones of the page cache do: a
/// reader who has read one piece keeps a daemon busy from then on.
const GROWTH: usize = 4;

/// How an open regular file is read.
///
/// Whoever reads through the same open file shares it without a lock, as the
/// page cache's readahead does: what becomes of that is a worse guess. Core's
/// atomics, since the kernel's are calls.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// `f_ra.prev_pos`: where the last read ended.
    last_end: &'a AtomicI64,
    /// `private_data`, which regular files have no other use for: the number of
    /// pieces that are asked for ahead.
    pieces: &'a AtomicUsize,
}

impl Reader<'_> {
    /// Of an open file.
    ///
    /// # Safety
    ///
    /// `file` is a regular file of ours, and open as long as the result is used.
    #[inline]
    pub(super) unsafe fn of(file: *mut sys::file) -> Self {
        // SAFETY: By the caller. What the page cache does with `prev_pos` are
        // plain accesses of a word, which the kernel takes for atomic ones. The
        // other field, null at first, is changed here only; a pointer has the
        // size and alignment of a `usize`.
        unsafe {
            let state = &raw mut (*file).__bindgen_anon_3.f_ra;
            Self {
                last_end: AtomicI64::from_ptr(&raw mut (*state).prev_pos),
                pieces: AtomicUsize::from_ptr((&raw mut (*file).private_data).cast()),
            }
        }
    }

    /// A read(2) at `position` of `inode` misses. If it goes on where the last
    /// one ended, asks for what is missing in the next pieces, of which there
    /// are more each time.
    ///
    /// A reader who said that he reads at `random` gets no more than he reads.
    pub(super) fn missed<F: FileSystem>(self, inode: &INode<F>, position: u64, random: bool) {
        let goes_on = position == 0 || self.last_end.load(Relaxed) == position.cast_signed();
        let pieces = if goes_on && !random {
            grown(self.pieces.load(Relaxed))
        } else {
            0
        };
        self.pieces.store(pieces, Relaxed);
        ask(inode, position, pieces);
    }

    /// A read(2) has got from `begin` to `end`. When it goes on where the last
    /// one ended and gets into another piece, and the reader has missed
    /// something, the window moves on with him, and grows as if he had missed
    /// again.
    #[inline]
    pub(super) fn went_on<F: FileSystem>(self, inode: &INode<F>, begin: u64, end: u64) {
        let last_end = self.last_end.load(Relaxed);
        self.last_end.store(end.cast_signed(), Relaxed);
        if (begin ^ end) < PIECE || last_end != begin.cast_signed() {
            return;
        }
        let pieces = self.pieces.load(Relaxed);
        if pieces != 0 {
            let pieces = grown(pieces);
            self.pieces.store(pieces, Relaxed);
            ask(inode, end, pieces);
        }
    }
}

/// The next window.
fn grown(pieces: usize) -> usize {
    pieces.saturating_mul(GROWTH).clamp(1, PIECES_MAX)
}

/// The page cache reads what `batch` is for ahead of its reader. If some of that
/// is missing, asks for what belongs to it; a reader in order is followed as by
/// [`Reader::went_on`].
///
/// # Safety
///
/// `rac` is null or a valid readahead request.
pub(super) unsafe fn window<F: FileSystem>(
    inode: &INode<F>,
    blob: &F::Blob,
    batch: &Batch,
    rac: *const sys::readahead_control,
) {
    // SAFETY: By the caller; a request has the state of its file.
    let Some(state) = (unsafe { rac.as_ref().and_then(|rac| rac.ra.as_ref()) }) else {
        return;
    };
    let (position, len) = (batch.position(), batch.len());
    let end = position.saturating_add(len);
    // A window of full size, all of it ahead of the reader, is what a sequential
    // reader has; what is read around a fault has its marker further on.
    let in_order = state.size >= state.ra_pages && state.async_size == state.size;
    if !F::is_missing(blob, batch.address(), len) {
        if in_order && position ^ end >= PIECE {
            ask(inode, end, PIECES_MAX);
        }
    } else if in_order {
        ask(inode, position, PIECES_MAX);
    } else if position == 0 {
        ask(inode, 0, 1);
    } else {
        // Readers who fault at the same moment share out the folios of one window.
        // Whoever is first asks for all of them. The state may be that of an
        // earlier window.
        let start = (state.start as u64) << PAGE_SHIFT;
        let window = start..start.saturating_add(u64::from(state.size) << PAGE_SHIFT);
        if window.contains(&position) {
            ask_range(inode, window.start, window.end);
        }
    }
}

/// Asks for what is missing of `inode` from `position` to the end of the
/// `pieces`-th piece.
#[cold]
fn ask<F: FileSystem>(inode: &INode<F>, position: u64, pieces: usize) {
    let mut at = position;
    for _ in 0..pieces {
        let end = (at | PIECE.wrapping_sub(1)).saturating_add(1);
        ask_range(inode, at, end);
        at = end;
    }
}

/// Asks for what is missing of `inode` in `[at, end)`.
fn ask_range<F: FileSystem>(inode: &INode<F>, mut at: u64, end: u64) {
    let end = end.min(inode.size());
    while at < end {
        let want = end.wrapping_sub(at);
        // What cannot be mapped is for the read that gets there to say.
        let Ok(extent) = inode.extent(at, want) else {
            return;
        };
        let skip = at.wrapping_sub(extent.start);
        let len = extent.len.wrapping_sub(skip).min(want);
        if len == 0 {
            return;
        }
        if let Target::Blob(blob, address) = extent.target {
            F::ask(blob, address.wrapping_add(skip), len);
        }
        at = at.wrapping_add(len);
    }
}
