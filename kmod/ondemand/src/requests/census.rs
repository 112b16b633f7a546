// SPDX-License-Identifier: GPL-2.0

//! Counts of requests and objects in the table.

use super::{Config, Map, Stage, Table};

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
    /// Counts the requests and objects, one by one.
    pub fn census(&self) -> Census {
        let (mut queued, mut open) = (0usize, 0usize);
        let mut from = 0;
        while let Some((sequence, request)) = self.requests.at_or_after(from) {
            queued = queued.saturating_add(usize::from(request.stage == Stage::New));
            from = sequence.saturating_add(1);
        }
        from = 0;
        while let Some((key, object)) = self.objects.at_or_after(from) {
            open = open.saturating_add(usize::from(object.open && !self.dead));
            from = key.saturating_add(1);
        }
        Census {
            objects: self.objects.len(),
            open,
            queued,
            delivered: self.requests.len().saturating_sub(queued),
        }
    }
}
