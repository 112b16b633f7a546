// SPDX-License-Identifier: GPL-2.0

//! The request table in the kernel's memory.

use super::{control::State, ticket::Ticket, ObjectRef};
use crate::vfs::Event;
use kernel::{prelude::*, sync::Arc};
use ondine_ondemand::{
    requests::{self, Refusal, Request, Store, Table},
    Run,
};

/// The request table, as it is used here.
pub(crate) type RequestTable =
    Table<Arc<Ticket>, ObjectRef, Slots<Request<Arc<Ticket>>>, Slots<requests::Object<ObjectRef>>>;

/// Room in the kernel's memory.
pub(crate) struct Slots<T>(KVVec<T>);

impl<T> Slots<T> {
    /// No room.
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Makes room for at least `more` further items.
    fn reserve(&mut self, more: usize) -> Result {
        Ok(self.0.reserve(more, GFP_KERNEL)?)
    }
}

impl<T> Store<T> for Slots<T> {
    fn as_slice(&self) -> &[T] {
        &self.0
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn room(&self) -> usize {
        self.0.capacity().saturating_sub(self.0.len())
    }

    fn push(&mut self, item: T) -> core::result::Result<(), T> {
        self.0.push_within_capacity(item).map_err(|error| error.0)
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        self.0.remove(index).ok()
    }
}

impl State {
    /// Puts an OPEN into the table, or joins the one that is there.
    pub(super) fn open(
        &mut self,
        object: &ObjectRef,
    ) -> core::result::Result<Arc<Ticket>, Refusal> {
        if let Some(ticket) = self.table.join_open(object.key()) {
            return Ok(ticket);
        }
        let ticket = self.ticket(object, Run::EMPTY)?;
        if !self.table.knows(object.key()) {
            self.table.add_object(object.key(), object.clone())?;
        }
        self.table.open(object.key(), ticket.clone())?;
        object.trace(Event::Submit, ticket.run(), Ok(()));
        Ok(ticket)
    }

    /// Puts a READ into the table. Returns whether the daemon has something to
    /// read.
    pub(super) fn read(
        &mut self,
        object: &ObjectRef,
        run: Run,
    ) -> core::result::Result<bool, Refusal> {
        let ticket = self.ticket(object, run)?;
        let readable = self.table.read(object.key(), run, ticket)?;
        object.trace(Event::Submit, run, Ok(()));
        Ok(readable)
    }

    /// A ticket, and room for its request.
    fn ticket(
        &mut self,
        object: &ObjectRef,
        run: Run,
    ) -> core::result::Result<Arc<Ticket>, Refusal> {
        let more = self.table.room_wanted();
        let (requests, objects) = self.table.stores();
        let room = requests.reserve(more).and_then(|()| objects.reserve(1));
        room.map_err(|_| Refusal::Full)?;
        Arc::new(Ticket::new(object, run), GFP_KERNEL).map_err(|_| Refusal::Full)
    }
}
