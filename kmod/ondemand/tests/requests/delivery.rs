// SPDX-License-Identifier: GPL-2.0

use crate::table::{ended, lane, next, open, read, read_of, run, started};
use ondine_ondemand::{
    requests::{Outcome, What},
    Errno,
};

fn page(what: What) -> u64 {
    match what {
        What::Read(_, pages) => pages.first,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_oldest_request_of_a_mount_is_delivered_first() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    for page in 0..4 {
        read(&mut table, 1, run(page, 1), page as u32).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(page(next(&mut table).unwrap().0.what));
    }
    table.restore();
    for _ in 0..4 {
        seen.push(page(next(&mut table).unwrap().0.what));
    }
    assert_eq!(seen, [0, 1, 0, 1, 2, 3]);
    assert!(next(&mut table).is_none());
}

#[test]
fn mounts_take_turns() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    let (many, few) = (lane(7), lane(9));
    for page in 0..100 {
        read_of(&mut table, 1, &many, run(page, 1), 1).unwrap();
    }
    read_of(&mut table, 1, &few, run(200, 1), 1).unwrap();
    read_of(&mut table, 1, &few, run(201, 1), 1).unwrap();
    assert_eq!((many.undelivered(), few.undelivered()), (100, 2));
    let seen: Vec<u64> = (0..5)
        .map(|_| page(next(&mut table).unwrap().0.what))
        .collect();
    assert_eq!(seen, [0, 200, 1, 201, 2]);
    assert_eq!((many.undelivered(), few.undelivered()), (97, 0));
    table.restore();
    assert_eq!((many.undelivered(), few.undelivered()), (100, 2));
    table.die(|_, _| {});
    assert_eq!((many.undelivered(), few.undelivered()), (0, 0));
}

#[test]
fn object_ids_begin_at_one_and_are_not_used_twice() {
    let mut table = started(&[1, 2]);
    assert_eq!(open(&mut table, 1), 1);
    assert_eq!(open(&mut table, 2), 2);
    assert!(!table.handle_closed(1, 1));
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let (pending, handle) = next(&mut table).unwrap();
    assert_eq!((pending.what, handle), (What::Open, 3));
}

#[test]
fn message_ids_are_not_used_again() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let first = next(&mut table).unwrap().0.id();
    assert_eq!(table.answer_read(first, 1), Ok(Some(1)));
    read(&mut table, 1, run(0, 1), 2).unwrap();
    let second = next(&mut table).unwrap().0.id();
    assert_ne!(first, second);
    assert_eq!(table.answer_read(first, 1), Err(Errno::EINVAL));
    assert_eq!(table.answer_read(second, 1), Ok(Some(2)));
}

#[test]
fn an_open_is_delivered_again_when_its_descriptor_is_gone() {
    let mut table = started(&[1]);
    table.open(1, 7).unwrap();
    let (first, handle) = next(&mut table).unwrap();
    table.restore();
    assert!(table.peek().is_none(), "someone has the descriptor");
    assert!(table.handle_closed(1, handle));
    assert_eq!(next(&mut table).unwrap().0.id(), first.id());
}

#[test]
fn an_open_that_nobody_wants_any_more_gets_no_descriptor() {
    let mut table = started(&[1]);
    table.open(1, 7).unwrap();
    let pending = table.peek().unwrap();
    table.begin_open(pending.sequence);
    assert!(table.peek().is_none(), "another thread does not get it");
    table.restore();
    assert!(table.peek().is_none(), "and not by restore either");
    let dropped = ended(|end| {
        table.drop_object(1, end);
    });
    assert_eq!(dropped, [(7, Outcome::Dropped)]);
    assert_eq!(table.finish_open(pending.sequence), None);
}

#[test]
fn what_cannot_be_delivered_ends() {
    let mut table = started(&[1]);
    table.open(1, 7).unwrap();
    let pending = table.peek().unwrap();
    table.begin_open(pending.sequence);
    let failed = ended(|end| table.undeliverable(pending.sequence, Errno::EMFILE, end));
    assert_eq!(failed, [(7, Outcome::Failed(Errno::EMFILE))]);
    assert!(table.is_empty());
}

#[test]
fn readers_learn_nothing_of_what_the_daemon_lacks() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    table.handle_closed(1, handle);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let opening = table.peek().unwrap();
    assert_eq!(opening.what, What::Open);
    table.begin_open(opening.sequence);
    let failed = ended(|end| table.undeliverable(opening.sequence, Errno::EMFILE, end));
    assert_eq!(failed, [(1, Outcome::Failed(Errno::EIO))]);
    assert!(table.is_empty());
}

#[test]
fn a_close_ends_by_being_read() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    assert!(table.drop_object(1, |_, _| unreachable!()));
    let (pending, _) = next(&mut table).unwrap();
    assert_eq!(pending.what, What::Close(handle));
    assert!(table.is_empty() && !table.knows(1));
    assert!(!table.handle_closed(1, handle));
}
