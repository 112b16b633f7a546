// SPDX-License-Identifier: GPL-2.0

//! Credentials that a task uses for a while.
//!
//! C header: [`include/linux/cred.h`](srctree/include/linux/cred.h)

use crate::sys;
use core::marker::PhantomData;

/// An override of the current task's credentials, until the drop.
///
/// # Invariants
///
/// The pointer is to the credentials that the task had before, to which the task
/// still has a reference. The overriding credentials live for `'a`.
pub(super) struct Credentials<'a>(*const sys::cred, PhantomData<&'a sys::cred>);

impl Credentials<'_> {
    /// Makes the current task use `cred`, until the result is dropped.
    ///
    /// # Safety
    ///
    /// `cred` is valid for the lifetime of the result.
    pub(super) unsafe fn of(cred: *const sys::cred) -> Self {
        // INVARIANT: By the caller, and by `override_creds()`.
        // SAFETY: By the caller.
        Self(unsafe { sys::ondine_override_creds(cred) }, PhantomData)
    }
}

impl Drop for Credentials<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. A raw pointer is not `Send`, so that
        // this is the task that `of` ran in.
        unsafe { sys::ondine_revert_creds(self.0) };
    }
}
