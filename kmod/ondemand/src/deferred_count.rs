// SPDX-License-Identifier: GPL-2.0

//! The number of deferred reads of an object.

use crate::sync::{AtomicUsize, Relaxed};

/// Number of deferred reads of an object, including those that the worker is
/// processing at the moment and that are in no list.
///
/// A read is counted before it submits a request, and a completion looks at the
/// count after it has removed the request. Both take the lock of the request table
/// in between, which orders the two accesses; they need no order of their own:
///
/// ```text
/// CPU 1 (deferred read)            CPU 2 (completion)
/// count += 1
/// lock table
///   submit the request
/// unlock table
///                                  lock table
///                                    remove the request
///                                  unlock table
///                                  outcome = answered
///                                  count != 0: queue the worker
/// ```
///
/// Counted after the submission, the read could be missed by CPU 2, and nothing
/// would run it again. The list is no substitute: it is empty while the worker
/// has the reads in its hands.
pub struct DeferredCount(AtomicUsize);

impl DeferredCount {
    /// No deferred reads.
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Returns whether there are deferred reads.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Default for DeferredCount {
    fn default() -> Self {
        Self::new()
    }
}
