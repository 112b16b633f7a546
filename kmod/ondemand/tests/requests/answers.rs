// SPDX-License-Identifier: GPL-2.0

use crate::table::{ended, next, open, read, run, started};
use ondine_ondemand::{
    requests::{Outcome, What},
    Errno,
};

#[test]
fn only_an_open_that_was_read_can_be_answered() {
    let mut table = started(&[1]);
    table.open(1, 7).unwrap();
    let id = table.peek().unwrap().id();
    assert_eq!(table.opened(id).unwrap_err(), Errno::EINVAL);
    next(&mut table).unwrap();
    assert!(table.opened(id).is_ok());
    assert_eq!(table.opened(id + 1).unwrap_err(), Errno::EINVAL);
    assert_eq!(table.opened(u32::MAX).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_read_is_no_open_and_an_open_no_read() {
    let mut table = started(&[1, 2]);
    open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let read = next(&mut table).unwrap().0.id();
    assert_eq!(table.opened(read).unwrap_err(), Errno::EINVAL);
    table.open(2, 2).unwrap();
    let opening = next(&mut table).unwrap().0.id();
    assert_eq!(table.answer_read(opening, 2), Err(Errno::EINVAL));
}

#[test]
fn a_read_is_answered_by_its_own_object() {
    let mut table = started(&[1, 2]);
    open(&mut table, 1);
    open(&mut table, 2);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let id = table.peek().unwrap().id();
    assert_eq!(table.answer_read(id, 1), Err(Errno::EINVAL), "never read");
    next(&mut table).unwrap();
    assert_eq!(table.answer_read(id, 2), Err(Errno::EINVAL));
    assert_eq!(table.answer_read(id, 1), Ok(Some(1)));
    assert_eq!(table.answer_read(id, 1), Err(Errno::EINVAL));
}

#[test]
fn copen_after_the_descriptor_went_fails_the_open() {
    let mut table = started(&[1]);
    table.open(1, 7).unwrap();
    let (pending, handle) = next(&mut table).unwrap();
    assert!(table.handle_closed(1, handle), "it can be delivered again");
    let (answer, readable) = table.answer_open(pending.sequence, Ok(()), |_, _| {});
    let answer = answer.unwrap();
    assert_eq!(answer.outcome, Outcome::Failed(Errno::EBADFD));
    assert_eq!((answer.completion, readable), (Some(7), false));
}

#[test]
fn copen_of_a_reopen_after_the_descriptor_went_opens_again() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    table.handle_closed(1, handle);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let (pending, handle) = next(&mut table).unwrap();
    table.handle_closed(1, handle);
    let (_, readable) = table.answer_open(pending.sequence, Ok(()), |_, _| {});
    assert!(readable);
    assert_eq!(next(&mut table).unwrap().0.what, What::Open);
}

#[test]
fn a_refused_reopen_fails_the_reads_that_wait_for_it() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    table.handle_closed(1, handle);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let (pending, _) = next(&mut table).unwrap();
    let failed = ended(|end| {
        table.answer_open(pending.sequence, Err(Errno::ENOENT), end);
    });
    assert_eq!(failed, [(1, Outcome::Failed(Errno::EIO))]);
    assert!(table.is_empty());
}

#[test]
fn no_second_descriptor_is_asked_for_after_a_refusal() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    table.handle_closed(1, handle);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let (pending, handle) = next(&mut table).unwrap();
    table.answer_open(pending.sequence, Err(Errno::ENOENT), |_, _| {});
    assert_eq!(read(&mut table, 1, run(0, 1), 2), Ok(false));
    assert!(table.peek().is_none(), "an OPEN would fail with EEXIST");
    assert!(table.handle_closed(1, handle));
    assert_eq!(next(&mut table).unwrap().0.what, What::Open);
}
