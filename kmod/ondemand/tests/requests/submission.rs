// SPDX-License-Identifier: GPL-2.0

use crate::table::{add_object, empty, next, open, read, run, started};
use ondine_ondemand::{
    requests::{Refusal, What},
    Run, //
};

#[test]
fn without_a_session_nothing_is_taken() {
    let mut table = empty();
    add_object(&mut table, 1);
    assert_eq!(table.open(1, 7), Err(Refusal::Dead));
    assert_eq!(read(&mut table, 1, run(0, 1), 7), Err(Refusal::Dead));
}

#[test]
fn an_object_that_is_not_there_is_not_asked_for() {
    let mut table = started(&[1]);
    assert_eq!(table.open(2, 7), Err(Refusal::Dropped));
    assert_eq!(read(&mut table, 2, run(0, 1), 7), Err(Refusal::Dropped));
}

#[test]
fn no_page_is_asked_for_twice() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    read(&mut table, 1, run(4, 4), 1).unwrap();
    for pages in [run(4, 4), run(0, 5), run(7, 1), run(7, 9), run(0, 20)] {
        assert_eq!(read(&mut table, 1, pages, 2), Err(Refusal::Busy));
    }
    assert!(read(&mut table, 1, run(0, 4), 2).is_ok());
    assert!(read(&mut table, 1, run(8, 1), 3).is_ok());
    assert_eq!(table.open(1, 4), Err(Refusal::Busy), "it is open");
}

#[test]
fn what_is_asked_for_is_covered() {
    let mut table = started(&[1, 2]);
    open(&mut table, 1);
    open(&mut table, 2);
    read(&mut table, 1, run(10, 10), 1).unwrap();
    read(&mut table, 1, run(30, 5), 2).unwrap();
    let uncovered = |pages| table.uncovered(1, pages);
    assert_eq!(uncovered(run(10, 10)), None);
    assert_eq!(uncovered(run(12, 3)), None);
    assert_eq!(uncovered(run(0, 5)), Some(run(0, 5)));
    assert_eq!(uncovered(run(0, 15)), Some(run(0, 10)));
    assert_eq!(uncovered(run(15, 30)), Some(run(20, 10)));
    assert_eq!(uncovered(run(30, 20)), Some(run(35, 15)));
    assert_eq!(table.uncovered(2, run(10, 10)), Some(run(10, 10)));
}

#[test]
fn one_joins_the_request_of_his_page() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    read(&mut table, 1, run(0, 4), 1).unwrap();
    read(&mut table, 1, run(4, 4), 2).unwrap();
    assert_eq!(table.join(1, 3), Some(1));
    assert_eq!(table.join(1, 4), Some(2));
    assert_eq!(table.join(1, 8), None);
    assert_eq!(table.join(2, 3), None);
}

#[test]
fn what_nobody_wants_is_withdrawn_until_it_is_delivered() {
    let mut table = started(&[1]);
    open(&mut table, 1);
    for n in 0..3 {
        read(&mut table, 1, run(u64::from(n), 1), n).unwrap();
    }
    let withdraw = |table: &mut crate::table::Requests, page, unwanted| {
        table.withdraw(1, run(page, 1), |completion| {
            assert_eq!(u64::from(*completion), page);
            unwanted
        })
    };
    assert_eq!(withdraw(&mut table, 1, false), None);
    assert_eq!(withdraw(&mut table, 1, true), Some(1));
    assert_eq!(table.withdraw(1, run(1, 1), |_| true), None);
    assert_eq!(table.withdraw(1, run(2, 2), |_| true), None);
    next(&mut table).unwrap();
    assert_eq!(withdraw(&mut table, 0, true), None);
    table.restore();
    assert_eq!(withdraw(&mut table, 0, true), None, "it may be answered");
    assert_eq!(table.len(), 2);
}

#[test]
fn a_read_of_what_is_not_open_sends_an_open_first() {
    let mut table = started(&[1]);
    assert_eq!(read(&mut table, 1, run(0, 1), 7), Ok(true));
    assert_eq!(
        read(&mut table, 1, run(1, 1), 8),
        Ok(false),
        "it is on its way"
    );
    let (opening, _) = next(&mut table).unwrap();
    assert_eq!(opening.what, What::Open);
    assert!(next(&mut table).is_none(), "before copen there is no READ");
    let (_, readable) = table.answer_open(opening.sequence, Ok(()), |_, _| {});
    assert!(readable);
    let (read, handle) = next(&mut table).unwrap();
    assert_eq!(read.what, What::Read(handle, run(0, 1)));
    let (read, _) = next(&mut table).unwrap();
    assert_eq!(read.what, What::Read(handle, run(1, 1)));
}

#[test]
fn runs_are_cut_and_joined() {
    assert_eq!(run(4, 4).before(6), run(4, 2));
    assert_eq!(run(4, 4).before(9), run(4, 4));
    assert_eq!(run(4, 4).before(3).count, 0);
    assert_eq!(run(4, 4).after(6), run(6, 2));
    assert_eq!(run(4, 4).after(3), run(4, 4));
    assert_eq!(run(4, 4).after(9).count, 0);
    assert_eq!(run(4, 4).joined(run(6, 4)), Some(run(4, 6)));
    assert_eq!(run(4, 4).joined(run(8, 1)), Some(run(4, 5)));
    assert_eq!(run(4, 4).joined(run(3, 1)), Some(run(3, 5)));
    assert_eq!(run(4, 4).joined(run(5, 1)), Some(run(4, 4)));
    assert_eq!(run(4, 4).joined(run(9, 1)), None);
    assert_eq!(run(4, 4).joined(run(1, 2)), None);
    assert_eq!(Run::EMPTY.joined(run(9, 1)), Some(run(9, 1)));
}
