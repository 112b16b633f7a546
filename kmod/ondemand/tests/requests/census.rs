// SPDX-License-Identifier: GPL-2.0

use crate::table::{next, open, read, run, started};
use ondine_ondemand::requests::Census;

#[test]
fn a_census_follows_requests_and_objects() {
    let mut table = started(&[1, 2]);
    let census = |objects, open, queued, delivered| Census {
        objects,
        open,
        queued,
        delivered,
    };
    assert_eq!(table.census(), census(2, 0, 0, 0));
    open(&mut table, 1);
    read(&mut table, 1, run(0, 1), 1).unwrap();
    // Of an object without a descriptor: an OPEN goes before it.
    read(&mut table, 2, run(0, 1), 2).unwrap();
    assert_eq!(table.census(), census(2, 1, 3, 0));
    let (read, _) = next(&mut table).unwrap();
    next(&mut table).unwrap();
    assert_eq!(table.census(), census(2, 1, 1, 2));
    table.answer_read(read.id(), 1).unwrap();
    assert_eq!(table.census(), census(2, 1, 1, 1));
    table.drop_object(1, |_, _| {});
    assert_eq!(table.census(), census(2, 1, 2, 1));
    let opened = table.opened(3).unwrap();
    table.answer_open(opened.sequence, Ok(()), |_, _| {});
    assert_eq!(table.census(), census(2, 2, 2, 0));
    table.die(|_, _| {});
    assert_eq!(table.census(), census(1, 0, 0, 0));
}
