// SPDX-License-Identifier: GPL-2.0

//! Borrowed bytes of a page cache folio.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::sys;
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull, slice};

#[cfg(not(CONFIG_64BIT))]
compile_error!("ondine needs a 64-bit kernel, where every folio is in the direct map");

/// Bytes of an up-to-date folio, which is referenced until the drop.
///
/// # Invariants
///
/// `folio` is up to date and in the direct map, and `self` owns a reference to
/// it; `[start, start + len)` lies in it.
pub(crate) struct MetaSlice {
    folio: NonNull<sys::folio>,
    start: NonNull<u8>,
    len: usize,
}

impl MetaSlice {
    /// Takes over a folio, for up to `len` bytes from file position `offset` on.
    ///
    /// # Safety
    ///
    /// `folio` is valid, up to date and contains `offset`; the caller gives up a
    /// reference.
    pub(super) unsafe fn new(folio: *mut sys::folio, offset: u64, len: usize) -> Self {
        let mut available = 0;
        // SAFETY: By the caller. Every folio has an address, as there is no
        // highmem (checked above).
        let start =
            unsafe { sys::ondine_folio_bytes(folio, offset.cast_signed(), &raw mut available) };
        // INVARIANT: The folio has `available` bytes from `start` on.
        Self {
            // SAFETY: Valid pointers are not null.
            folio: unsafe { NonNull::new_unchecked(folio) },
            // SAFETY: As above.
            start: unsafe { NonNull::new_unchecked(start.cast_mut()) },
            len: len.min(available),
        }
    }

    /// Returns the address of the first byte, and the folio, whose reference the
    /// caller owns from now on.
    pub(super) fn into_raw(self) -> (*mut u8, *mut sys::folio) {
        let this = ManuallyDrop::new(self);
        (this.start.as_ptr(), this.folio.as_ptr())
    }

    /// Drops the reference that [`Self::into_raw`] returned.
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
        // SAFETY: Valid and initialised by the type invariants. Not written to by
        // contract of `mount(2)`: it takes CAP_SYS_ADMIN, and the image must not
        // be modified while it is mounted; for blobs in the cache the daemon
        // promises the same.
        //
        // The page cache cannot enforce that, and Rust does not define a read
        // that races with a write. So that a broken promise stays harmless in
        // practice, as in C, no value is used that could be loaded again after it
        // was checked: inodes, chunk maps, attributes, device slots and the
        // superblock are copied before they are parsed. Directory blocks and
        // inline data are used in place: each index is checked by the slice
        // operation that uses it, and lengths come from inodes. Bytes of a name
        // or of data may change while they are being used.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for MetaSlice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `self` owns the reference.
        unsafe { sys::ondine_folio_put(self.folio.as_ptr()) };
    }
}
