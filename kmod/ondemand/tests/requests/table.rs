// SPDX-License-Identifier: GPL-2.0

//! A table over maps, with one object that a daemon has open.

use crate::tree::Tree;
use ondine_ondemand::{
    requests::{Config, Lane, ObjectMemory, Outcome, Pending, ReadMemory, Refusal, Table, What},
    Run,
};
use std::rc::Rc;

/// Completions are numbers here, and so are objects.
pub(crate) struct Numbers;

impl Config for Numbers {
    type Completion = u32;
    type Object = u64;
    type Lane = Rc<Lane>;
    type Map<K: Copy + Ord, V> = Tree<K, V>;
}

pub(crate) type Requests = Table<Numbers>;

/// A table without a session.
pub(crate) fn empty() -> Requests {
    Table::new()
}

/// A table with a session, and objects that are not open.
pub(crate) fn started(objects: &[u64]) -> Requests {
    let mut table = empty();
    table.start();
    for &key in objects {
        add_object(&mut table, key);
    }
    table
}

/// The lane of a mount.
pub(crate) fn lane(id: u64) -> Rc<Lane> {
    Rc::new(Lane::new(id))
}

/// Adds an object that no daemon knows.
pub(crate) fn add_object(table: &mut Requests, key: u64) {
    table.add_object(key, key, ObjectMemory::new().unwrap());
}

/// Submits a READ.
pub(crate) fn read(
    table: &mut Requests,
    key: u64,
    pages: Run,
    completion: u32,
) -> Result<bool, Refusal> {
    read_of(table, key, &lane(1), pages, completion)
}

/// Submits a READ of a mount.
pub(crate) fn read_of(
    table: &mut Requests,
    key: u64,
    lane: &Rc<Lane>,
    pages: Run,
    completion: u32,
) -> Result<bool, Refusal> {
    table.read(key, lane, pages, completion, ReadMemory::new().unwrap())
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

/// Opens an object with completion 1000 + key. Returns its descriptor.
pub(crate) fn open(table: &mut Requests, key: u64) -> u32 {
    let completion = 1000 + key as u32;
    table.open(key, completion).unwrap();
    let (pending, handle) = next(table).unwrap();
    assert_eq!(pending.what, What::Open);
    let opened = table.opened(pending.id()).unwrap();
    let (answer, _) = table.answer_open(opened.sequence, Ok(()), |_, _| {});
    let answer = answer.unwrap();
    assert_eq!(
        (answer.completion, answer.outcome),
        (Some(completion), Outcome::Answered)
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
    call(&mut |completion, outcome| ended.push((completion, outcome)));
    ended
}
