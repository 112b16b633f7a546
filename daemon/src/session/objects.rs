// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table of open objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::backend::{BlobKey, Version};
use crate::protocol::{Object, ObjectId};

/// An object whose descriptor is open. The table and each request in service hold a reference; the
/// last one to go closes the descriptor.
#[derive(Debug)]
pub(super) struct OpenObject {
    pub(super) id: ObjectId,
    pub(super) object: Object,
    pub(super) blob: BlobKey,
    /// The version whose bytes are in the cache file. Set before its OPEN is answered.
    pub(super) version: OnceLock<Version>,
}

/// The open objects, by the ids of their descriptors.
#[derive(Debug, Default)]
pub(super) struct ObjectTable(Mutex<HashMap<ObjectId, Arc<OpenObject>>>);

impl ObjectTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Arc<OpenObject>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an object whose version is not known yet.
    pub(super) fn insert(&self, id: ObjectId, object: Object, blob: BlobKey) -> Arc<OpenObject> {
        let open = Arc::new(OpenObject {
            id,
            object,
            blob,
            version: OnceLock::new(),
        });
        self.lock().insert(id, Arc::clone(&open));
        open
    }

    pub(super) fn get(&self, id: ObjectId) -> Option<Arc<OpenObject>> {
        self.lock().get(&id).cloned()
    }

    /// An open object of `blob`.
    pub(super) fn find(&self, blob: &BlobKey) -> Option<Arc<OpenObject>> {
        let table = self.lock();
        table.values().find(|open| open.blob == *blob).cloned()
    }

    /// Returns whether an object of `blob` has been given a version.
    pub(super) fn has_version(&self, blob: &BlobKey) -> bool {
        let table = self.lock();
        let mut of_blob = table.values().filter(|open| open.blob == *blob);
        of_blob.any(|open| open.version.get().is_some())
    }

    /// All objects except for the one with this id.
    pub(super) fn others(&self, id: ObjectId) -> Vec<Arc<OpenObject>> {
        let table = self.lock();
        table.values().filter(|o| o.id != id).cloned().collect()
    }

    pub(super) fn remove(&self, id: ObjectId) {
        self.lock().remove(&id);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}
