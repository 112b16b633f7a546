// SPDX-License-Identifier: GPL-2.0

//! Counts of requests and objects in the table.

use super::{Config, Object, Request, Stage, Store, Table};

/// Counts of requests and objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Objects that mounts use, or whose CLOSE has not been read.
    pub objects: usize,
    /// Objects of which the daemon has a descriptor, and whose size it has told.
    pub open: usize,
    /// Requests of all kinds that the daemon has not read.
    pub queued: usize,
    /// Requests that the daemon has read and not answered.
    pub delivered: usize,
}

impl<C: Config> Table<C> {
    /// Counts the requests and objects.
    pub fn census(&self) -> Census {
        let requests = self.requests.as_slice();
        let objects = self.objects.as_slice();
        let new = |one: &&Request<C::Completion>| one.stage == Stage::New;
        let queued = requests.iter().filter(new).count();
        let open = |one: &&Object<C::Object>| one.open && !self.dead;
        Census {
            objects: objects.len(),
            open: objects.iter().filter(open).count(),
            queued,
            delivered: requests.len().saturating_sub(queued),
        }
    }
}
