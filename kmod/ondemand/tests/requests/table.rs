// SPDX-License-Identifier: GPL-2.0

//! A table over vectors, with one object that a daemon has open.

use ondine_ondemand::{
    requests::{Object, Outcome, Pending, Request, Store, Table, What},
    Run,
};

/// Tickets are numbers here, and so are objects.
pub(crate) type Requests = Table<u32, u64, Slots<Request<u32>>, Slots<Object<u64>>>;

/// A vector that always has room, up to `limit` items.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    items: Vec<T>,
    pub limit: usize,
}

impl<T> Store<T> for Slots<T> {
    fn as_slice(&self) -> &[T] {
        &self.items
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    fn room(&self) -> usize {
        self.limit - self.items.len()
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        (index < self.items.len()).then(|| self.items.remove(index))
    }
}

/// A table without a session.
pub(crate) fn empty() -> Requests {
    let slots = |limit| Slots {
        items: Vec::new(),
        limit,
    };
    Table::new(
        slots(1000),
        Slots {
            items: Vec::new(),
            limit: 100,
        },
    )
}

/// A table with a session, and objects that it knows but has not opened.
pub(crate) fn started(objects: &[u64]) -> Requests {
    let mut table = empty();
    table.start();
    for &key in objects {
        table.add_object(key, key).unwrap();
    }
    table
}

/// Reads the next message, as a daemon does; an OPEN gets a descriptor.
pub(crate) fn next(table: &mut Requests) -> Option<(Pending<u64>, u32)> {
    let pending = table.peek()?;
    let handle = match pending.what {
        What::Open => {
            table.begin_open(pending.sequence);
            table.finish_open(pending.sequence).unwrap()
        }
        What::Close(handle) | What::Read(handle, _) => {
            table.deliver(pending.sequence);
            handle
        }
    };
    Some((pending, handle))
}

/// Opens an object for a mount with ticket 1000 + key; gives its descriptor.
pub(crate) fn open(table: &mut Requests, key: u64) -> u32 {
    let ticket = 1000 + key as u32;
    table.open(key, ticket).unwrap();
    let (pending, handle) = next(table).unwrap();
    assert_eq!(pending.what, What::Open);
    let opened = table.opened(pending.id()).unwrap();
    let (answer, _) = table.answer_open(opened.sequence, Ok(()), |_, _| {});
    let answer = answer.unwrap();
    assert_eq!(
        (answer.ticket, answer.outcome),
        (Some(ticket), Outcome::Answered)
    );
    handle
}

/// Pages `first..first + count`.
pub(crate) fn run(first: u64, count: u64) -> Run {
    Run { first, count }
}

/// Collects what a call ends.
pub(crate) fn ended(call: impl FnOnce(&mut dyn FnMut(u32, Outcome))) -> Vec<(u32, Outcome)> {
    let mut ended = Vec::new();
    call(&mut |ticket, outcome| ended.push((ticket, outcome)));
    ended
}
