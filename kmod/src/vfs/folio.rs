// SPDX-License-Identifier: GPL-2.0

//! Bytes in the page cache.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::sys;
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull, slice};

/// Part of one folio in the page cache, up to date, readable while this lives.
///
/// # Invariants
///
/// `folio` is up to date, in the direct map, and one reference of it is owned;
/// `[start, start + len)` lies in it.
pub(crate) struct MetaSlice {
    folio: NonNull<sys::folio>,
    start: NonNull<u8>,
    len: usize,
}

impl MetaSlice {
    /// Takes over a folio: up to `len` bytes from the file position `offset`.
    ///
    /// # Safety
    ///
    /// `folio` is valid and up to date, holds `offset`, and the caller gives up
    /// one reference.
    pub(super) unsafe fn new(folio: *mut sys::folio, offset: u64, len: usize) -> Self {
        let mut available = 0;
        // SAFETY: By the caller; on 64-bit machines every folio has an address.
        let start =
            unsafe { sys::ondine_folio_bytes(folio, offset.cast_signed(), &raw mut available) };
        // INVARIANT: `available` bytes of the folio begin at `start`.
        Self {
            // SAFETY: Neither a folio nor its address is null.
            folio: unsafe { NonNull::new_unchecked(folio) },
            // SAFETY: As above.
            start: unsafe { NonNull::new_unchecked(start.cast_mut()) },
            len: len.min(available),
        }
    }

    /// Gives up the guard: the address of the first byte, and the folio whose
    /// reference the caller now owns.
    pub(super) fn into_raw(self) -> (*mut u8, *mut sys::folio) {
        let this = ManuallyDrop::new(self);
        (this.start.as_ptr(), this.folio.as_ptr())
    }

    /// Releases what [`Self::into_raw`] gave.
    ///
    /// # Safety
    ///
    /// `folio` came from [`Self::into_raw`], and is not used any more.
    pub(super) unsafe fn release(folio: *mut sys::folio) {
        // SAFETY: By the caller.
        unsafe { sys::ondine_folio_put(folio) };
    }
}

impl Deref for MetaSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariants the bytes are there and initialised.
        //
        // That nobody writes to them is not ours to promise: whoever may write
        // to the image can do so while it is mounted, and the page cache has no
        // snapshots. Rust does not define what such a race means. What is relied
        // on is what C relies on: that a load gives some value, and that one
        // value is not loaded again after it was checked. Where that would
        // matter the bytes are copied first (`Source::read`: inodes, chunk maps,
        // attributes, device slots; the superblock at mount). Directory blocks
        // and inline data are used where they are: each index into them is
        // checked by the very slice operation that uses it, and lengths come
        // from inodes, which are copies. A name or a byte of data may change as
        // it is looked at, into another name or byte.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for MetaSlice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the reference is ours.
        unsafe { sys::ondine_folio_put(self.folio.as_ptr()) };
    }
}
