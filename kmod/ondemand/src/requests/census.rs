// SPDX-License-Identifier: GPL-2.0

//! What is in the table, counted.

use super::{Object, Request, Stage, Store, Table};

/// How much of what is in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Objects that mounts use, or whose CLOSE is to be read.
    pub objects: usize,
    /// Of them, those that the daemon has a descriptor of, and whose size it
    /// has told.
    pub open: usize,
    /// Requests of all kinds that the daemon has not read.
    pub queued: usize,
    /// Those that it has read, and not answered.
    pub delivered: usize,
}

impl<T, P, R, O> Table<T, P, R, O>
where
    T: Clone,
    P: Clone,
    R: Store<Request<T>>,
    O: Store<Object<P>>,
{
    /// Counts what is there.
    pub fn census(&self) -> Census {
        let requests = self.requests.as_slice();
        let objects = self.objects.as_slice();
        let new = |one: &&Request<T>| one.stage == Stage::New;
        let queued = requests.iter().filter(new).count();
        let open = |one: &&Object<P>| one.open && !self.dead;
        Census {
            objects: objects.len(),
            open: objects.iter().filter(open).count(),
            queued,
            delivered: requests.len().saturating_sub(queued),
        }
    }
}
