// SPDX-License-Identifier: GPL-2.0

//! Which objects there are, and how many blobs of mounts use each.

use super::{Object, ObjectRef};
use kernel::prelude::*;

/// What a mount wants an object for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The image itself: nobody else may use the object.
    Primary,
    /// A device of it.
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
    users: usize,
    /// Whether mounts share the object's volume.
    shared: bool,
}

impl Registry {
    pub(super) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            next: 1,
        }
    }

    /// The object, with one more user, if it is there.
    ///
    /// # Errors
    ///
    /// EBUSY if the volume is another mount's; EEXIST if the object may not be
    /// shared.
    pub(super) fn find(
        &mut self,
        volume: &[u8],
        shared: bool,
        cookie: &[u8],
        role: Role,
    ) -> Result<Option<ObjectRef>> {
        let mut of_volume = self
            .entries
            .iter()
            .filter(|one| one.object.volume() == volume);
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
            return Ok(None);
        };
        match (shared, role) {
            (true, Role::Primary) => Err(EEXIST),
            (false, _) => Err(EINVAL),
            (true, Role::Device) => {
                entry.users = entry.users.wrapping_add(1);
                Ok(Some(entry.object.clone()))
            }
        }
    }

    /// A key for a new object.
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

    /// Takes one user away; tells whether that was the last one.
    pub(super) fn release(&mut self, key: u64) -> bool {
        let found = self.entries.iter().position(|one| one.object.key() == key);
        let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        entry.users = entry.users.saturating_sub(1);
        if entry.users != 0 {
            return false;
        }
        if let Some(at) = found {
            // Found just above.
            let _entry = self.entries.remove(at);
        }
        true
    }

    /// Whether the cache file with these names is in use.
    pub(super) fn any(&self, mut is: impl FnMut(&Object) -> bool) -> bool {
        self.entries.iter().any(|one| is(&one.object))
    }

    /// The objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.entries.iter().map(|one| &one.object)
    }
}
