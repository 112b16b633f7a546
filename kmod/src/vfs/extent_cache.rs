// SPDX-License-Identifier: GPL-2.0

//! The location of a regular file that is a single extent, cached so that further
//! reads need not consult the image.
//!
//! Most files are. Mapping costs about as many instructions as copying 4 KiB, and
//! gives the same result each time, since the image is read-only.

use core::{
    ptr,
    sync::atomic::{
        AtomicPtr,
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release}, //
    },
};

/// The single extent of a file: unknown, known, or known not to exist.
///
/// Core's atomics, since each read loads them and the kernel's are function
/// calls.
///
/// # Invariants
///
/// `blob` is null (unknown), [`Self::NOT_SINGLE`], or a blob of the inode's super
/// block, stored after the `address` that belongs to it.
pub(super) struct ExtentCache<B> {
    blob: AtomicPtr<B>,
    address: AtomicU64,
}

impl<B> ExtentCache<B> {
    /// The file is not a single extent.
    const NOT_SINGLE: *mut B = ptr::dangling_mut();

    /// The state of a file that has not been mapped.
    pub(super) fn new() -> Self {
        // INVARIANT: Unknown.
        Self {
            blob: AtomicPtr::new(ptr::null_mut()),
            address: AtomicU64::new(0),
        }
    }

    /// The blob, and the byte of its backing where the file begins.
    ///
    /// # Safety
    ///
    /// The inode's super block outlives the result.
    #[inline]
    pub(super) unsafe fn get<'a>(&self) -> Option<(&'a B, u64)> {
        let blob = self.blob.load(Acquire);
        if blob == Self::NOT_SINGLE {
            return None;
        }
        // SAFETY: By the type invariants it is null or a blob of the super block,
        // which by the caller outlives the result.
        let blob = unsafe { blob.as_ref() }?;
        Some((blob, self.address.load(Relaxed)))
    }

    /// Returns whether the file has not been mapped.
    #[inline]
    pub(super) fn is_unknown(&self) -> bool {
        self.blob.load(Relaxed).is_null()
    }

    /// Stores the result of mapping the file; `None` if it is not a single
    /// extent. Tasks that do so concurrently store the same.
    pub(super) fn set(&self, found: Option<(&B, u64)>) {
        match found {
            Some((blob, address)) => {
                self.address.store(address, Relaxed);
                // INVARIANT: The address was stored just now.
                self.blob.store(ptr::from_ref(blob).cast_mut(), Release);
            }
            None => self.blob.store(Self::NOT_SINGLE, Relaxed),
        }
    }
}
