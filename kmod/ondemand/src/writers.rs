// SPDX-License-Identifier: GPL-2.0

//! The daemon's changes of a cache file, writes and `copen`, counted so that none outlives the object.

use crate::sync::{AcqRel, Acquire, AtomicUsize};

/// Number of writes in progress, and whether the object is dropped.
///
/// `copen`, which may empty and resize the file, counts as a write.
///
/// A write checks that the object is in use, and then sleeps in the file system. The
/// object can be dropped meanwhile, and another one be made for the same file, of
/// another size perhaps. It must not read the file's extents before the write has
/// ended:
///
/// ```text
/// CPU 1 (write)                    CPU 2 (last umount, then mount)
/// begin: writes += 1
///                                  drop_object: a write is in progress
///                                  new object of the file: wait
/// write
/// end: writes -= 1, the last one
///   wake CPU 2
///                                  read the extents
/// ```
///
/// Number and flag are one atomic: a write that begins after the drop is refused, and
/// one that began before is seen by it.
pub struct Writers(AtomicUsize);

/// Set once the object is dropped.
const DROPPED: usize = 1;
/// A write in progress.
const WRITE: usize = 2;

impl Writers {
    /// No writes, of an object in use.
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Counts a write. Returns false if the object is dropped; nothing must be written
    /// then. [`Self::end`] follows in either case.
    #[must_use]
    pub fn begin(&self) -> bool {
        self.0.fetch_add(WRITE, Acquire) & DROPPED == 0
    }

    /// Ends a write. Returns whether it was the last one of a dropped object.
    pub fn end(&self) -> bool {
        // Release: the next user of the file sees what was written.
        self.0.fetch_sub(WRITE, AcqRel) == WRITE | DROPPED
    }

    /// Drops the object. Returns whether no write is in progress.
    pub fn drop_object(&self) -> bool {
        self.0.fetch_or(DROPPED, AcqRel) & !DROPPED == 0
    }

    /// Returns whether the object is dropped.
    #[inline]
    pub fn is_dropped(&self) -> bool {
        self.0.load(Acquire) & DROPPED != 0
    }

    /// Returns whether the object is dropped and no write is in progress.
    pub fn are_gone(&self) -> bool {
        self.0.load(Acquire) == DROPPED
    }
}

impl Default for Writers {
    fn default() -> Self {
        Self::new()
    }
}
