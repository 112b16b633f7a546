// SPDX-License-Identifier: GPL-2.0

use crate::table::{ended, next, open, read, run, started};
use ondine_ondemand::requests::{Outcome, Refusal, What};

#[test]
fn death_ends_everything_and_nothing_comes_after_it() {
    let mut table = started(&[1, 2]);
    open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    next(&mut table).unwrap();
    read(&mut table, 1, run(1, 1), 2).unwrap();
    table.open(2, 3).unwrap();
    let dead = ended(|end| table.die(end));
    assert_eq!(
        dead,
        [1, 2, 3].map(|completion| (completion, Outcome::Dead))
    );
    assert_eq!(read(&mut table, 1, run(2, 1), 4), Err(Refusal::Dead));
    assert!(table.peek().is_none() && table.knows(1));
}

#[test]
fn objects_live_on_into_the_next_session() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    table.die(|_, _| {});
    table.start();
    read(&mut table, 1, run(5, 1), 9).unwrap();
    let (opening, _) = next(&mut table).unwrap();
    assert_eq!(opening.what, What::Open);
    table.answer_open(opening.sequence, Ok(()), |_, _| {});
    let (read, handle) = next(&mut table).unwrap();
    assert_eq!(read.what, What::Read(handle, run(5, 1)));
}

#[test]
fn a_dropped_object_takes_no_requests() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let dropped = ended(|end| {
        assert!(table.drop_object(1, end), "there is a CLOSE to read");
    });
    assert_eq!(dropped, [(1, Outcome::Dropped)]);
    assert_eq!(read(&mut table, 1, run(0, 1), 2), Err(Refusal::Dropped));
    assert_eq!(table.open(1, 2), Err(Refusal::Dropped));
}

#[test]
fn closing_the_descriptor_finishes_a_close_that_was_not_read() {
    let mut table = started(&[1]);
    let handle = open(&mut table, 1);
    table.drop_object(1, |_, _| {});
    assert!(!table.handle_closed(1, handle));
    assert!(table.peek().is_none() && table.is_empty() && !table.knows(1));
}

#[test]
fn a_descriptor_that_goes_has_its_reads_asked_again() {
    let mut table = started(&[1]);
    let old = open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    let id = next(&mut table).unwrap().0.id();
    assert!(table.handle_closed(1, old));
    let (opening, new) = next(&mut table).unwrap();
    assert_eq!(opening.what, What::Open);
    assert!(
        !table.handle_closed(1, old),
        "it is not the one that is open"
    );
    table.answer_open(opening.sequence, Ok(()), |_, _| {});
    let (read, handle) = next(&mut table).unwrap();
    assert_eq!((read.id(), handle), (id, new));
}
