// SPDX-License-Identifier: GPL-2.0

//! Where all of a regular file lies, so that reading it again need not ask the
//! image.
//!
//! Most files are one extent. Finding it takes about as many instructions as
//! copying 4 KiB, and a read-only image gives the same answer each time.

use core::{
    ptr,
    sync::atomic::{
        AtomicPtr,
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release}, //
    },
};

/// The extent of a file that has one, once it was looked for.
///
/// Of core's atomics: each read looks here, and the kernel's are calls.
///
/// # Invariants
///
/// `blob` is null, or [`Self::SCATTERED`], or points to a blob of the inode's
/// super block; then the `address` that belongs to it was stored before.
pub(super) struct Whole<B> {
    blob: AtomicPtr<B>,
    address: AtomicU64,
}

impl<B> Whole<B> {
    /// There is no such extent.
    const SCATTERED: *mut B = ptr::dangling_mut();

    /// Of a file that nobody has looked for.
    pub(super) fn new() -> Self {
        // INVARIANT: There is no blob.
        Self {
            blob: AtomicPtr::new(ptr::null_mut()),
            address: AtomicU64::new(0),
        }
    }

    /// The blob, and the byte of it where the file begins.
    ///
    /// # Safety
    ///
    /// The inode's super block outlives the result.
    #[inline]
    pub(super) unsafe fn get<'a>(&self) -> Option<(&'a B, u64)> {
        let blob = self.blob.load(Acquire);
        if blob == Self::SCATTERED {
            return None;
        }
        // SAFETY: By the type invariants it is null, or a blob of the super
        // block, which stays by the caller.
        let blob = unsafe { blob.as_ref() }?;
        Some((blob, self.address.load(Relaxed)))
    }

    /// Whether nobody has looked for it.
    #[inline]
    pub(super) fn is_unknown(&self) -> bool {
        self.blob.load(Relaxed).is_null()
    }

    /// Keeps what was found: `None` if the file has no such extent. Whoever
    /// else looks finds the same.
    pub(super) fn set(&self, found: Option<(&B, u64)>) {
        match found {
            Some((blob, address)) => {
                self.address.store(address, Relaxed);
                // INVARIANT: The address was stored just now.
                self.blob.store(ptr::from_ref(blob).cast_mut(), Release);
            }
            None => self.blob.store(Self::SCATTERED, Relaxed),
        }
    }
}
