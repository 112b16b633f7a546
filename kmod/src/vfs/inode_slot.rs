// SPDX-License-Identifier: GPL-2.0

//! A place for an inode that a super block keeps, filled once and emptied when
//! the super block goes.

use super::{FileSystem, INode, InodeRef};
use core::ptr::{self, NonNull};
use kernel::sync::{
    aref::ARef,
    atomic::{Acquire, Atomic, Full},
};

/// Holds no inode or one.
///
/// # Invariants
///
/// A non-null pointer owns one reference of the inode.
pub(crate) struct InodeSlot<F: FileSystem>(Atomic<*mut INode<F>>);

impl<F: FileSystem> InodeSlot<F> {
    /// An empty slot.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Keeps `inode`; what was there before is given up.
    pub(crate) fn set(&self, inode: InodeRef<F>) {
        // INVARIANT: The reference moves into the slot.
        self.replace(ARef::into_raw(inode).as_ptr());
    }

    /// The inode, if there is one.
    ///
    /// The caller must be using the super block: [`Self::clear`] runs when
    /// nobody does any more.
    pub(crate) fn get(&self) -> Option<&INode<F>> {
        // SAFETY: By the type invariants the inode is referenced, until
        // `clear`, which `FileSystem::deactivate` calls after the last use.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Gives the inode up.
    pub(crate) fn clear(&self) {
        self.replace(ptr::null_mut());
    }

    fn replace(&self, inode: *mut INode<F>) {
        let old = self.0.xchg(inode, Full);
        if let Some(old) = NonNull::new(old) {
            // SAFETY: By the type invariants the reference was the slot's.
            drop(unsafe { ARef::from_raw(old) });
        }
    }
}

impl<F: FileSystem> Drop for InodeSlot<F> {
    fn drop(&mut self) {
        self.clear();
    }
}
