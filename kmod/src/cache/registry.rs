// SPDX-License-Identifier: GPL-2.0

//! The objects in use, and the number of mounted blobs that use each.

use super::{Object, ObjectRef};
use kernel::prelude::*;
use ondine_ondemand::{completion::RequestObject, platform::ObjectOps};

/// The use that a mount makes of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The image itself: no other mount may use the object.
    Primary,
    /// An extra device of the image.
    Device,
}

/// The objects in use.
pub(super) struct Registry {
    entries: KVec<Entry>,
    /// The key of the next object.
    next: u64,
}

struct Entry {
    object: ObjectRef,
    /// 0 if the object is dropped, and a write into its file was in progress.
    users: usize,
    /// True if mounts share the object's volume.
    shared: bool,
}

/// The object of a mount.
pub(super) enum Found {
    /// In use.
    Object(ObjectRef),
    /// Dropped, with a write into its file in progress, which has to end first.
    Dropped(ObjectRef),
    /// None.
    Absent,
}

impl Registry {
    /// No objects.
    pub(super) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            next: 1,
        }
    }

    /// The object with these keys, with one more user.
    ///
    /// # Errors
    ///
    /// EBUSY if another mount uses the volume and does not share it; EEXIST if the
    /// object is a primary one that another mount uses; EINVAL if a mount uses the
    /// same object twice.
    pub(super) fn find(
        &mut self,
        volume: &[u8],
        shared: bool,
        cookie: &[u8],
        role: Role,
    ) -> Result<Found> {
        let of_volume = |one: &&Entry| one.users != 0 && one.object.volume() == volume;
        let mut of_volume = self.entries.iter().filter(of_volume);
        let busy = match (shared, role) {
            (false, Role::Primary) => of_volume.next().is_some(),
            _ => of_volume.any(|one| one.shared != shared),
        };
        if busy {
            return Err(EBUSY);
        }
        let mut entries = self.entries.iter_mut();
        let same =
            |one: &&mut Entry| one.object.volume() == volume && one.object.cookie() == cookie;
        let Some(entry) = entries.find(same) else {
            return Ok(Found::Absent);
        };
        if entry.users == 0 {
            return Ok(Found::Dropped(entry.object.clone()));
        }
        match (shared, role) {
            (true, Role::Primary) => Err(EEXIST),
            (false, _) => Err(EINVAL),
            (true, Role::Device) => {
                entry.users = entry.users.wrapping_add(1);
                Ok(Found::Object(entry.object.clone()))
            }
        }
    }

    /// The key of a new object.
    pub(super) fn new_key(&mut self) -> u64 {
        let key = self.next;
        self.next = key.wrapping_add(1);
        key
    }

    /// Adds an object with one user.
    pub(super) fn add(&mut self, object: ObjectRef, shared: bool) -> Result {
        let entry = Entry {
            object,
            users: 1,
            shared,
        };
        Ok(self.entries.push(entry, GFP_KERNEL)?)
    }

    /// Removes a user of an object, and drops the object with the last one. Returns
    /// whether it was the last one.
    pub(super) fn release(&mut self, key: u64) -> bool {
        let found = self.entries.iter().position(|one| one.object.key() == key);
        let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        entry.users = entry.users.saturating_sub(1);
        if entry.users != 0 {
            return false;
        }
        if entry.object.writers().drop_object() {
            self.forget(key);
        }
        true
    }

    /// Removes a dropped object, into whose file nothing is written any more.
    pub(super) fn forget(&mut self, key: u64) {
        let gone = |one: &Entry| one.object.key() == key && one.object.writers().are_gone();
        if let Some(at) = self.entries.iter().position(gone) {
            let _entry = self.entries.remove(at);
        }
    }

    /// Returns whether `is` holds for any object whose file is in use.
    pub(super) fn any(&self, mut is: impl FnMut(&Object) -> bool) -> bool {
        self.entries.iter().any(|one| is(&one.object))
    }

    /// The objects in use.
    pub(super) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.entries.iter().map(|one| &one.object)
    }
}
