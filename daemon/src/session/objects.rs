// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The objects that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::backend::Blob;
use crate::protocol::{Object, ObjectId};

/// An open object, for as long as it is in the table or a worker uses it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: ObjectId,
    pub(super) object: Object,
    pub(super) blob: Blob,
    /// Bytes of the blob, from when its OPEN is answered.
    pub(super) size: OnceLock<u64>,
}

/// All of them, by the ids of their descriptors.
#[derive(Debug, Default)]
pub(super) struct Objects(Mutex<HashMap<ObjectId, Arc<Entry>>>);

impl Objects {
    fn table(&self) -> MutexGuard<'_, HashMap<ObjectId, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, id: ObjectId, object: Object, blob: Blob) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            id,
            object,
            blob,
            size: OnceLock::new(),
        });
        self.table().insert(id, Arc::clone(&entry));
        entry
    }

    pub(super) fn get(&self, id: ObjectId) -> Option<Arc<Entry>> {
        self.table().get(&id).cloned()
    }

    pub(super) fn find(&self, blob: &Blob) -> Option<Arc<Entry>> {
        let table = self.table();
        table.values().find(|entry| entry.blob == *blob).cloned()
    }

    /// All but the one with this id.
    pub(super) fn others(&self, id: ObjectId) -> Vec<Arc<Entry>> {
        let table = self.table();
        table.values().filter(|e| e.id != id).cloned().collect()
    }

    pub(super) fn remove(&self, id: ObjectId) {
        self.table().remove(&id);
    }

    pub(super) fn clear(&self) {
        self.table().clear();
    }
}
