// SPDX-License-Identifier: GPL-2.0

use ondine_ondemand::{writers::Writers, Contents};
use std::sync::atomic::AtomicU64;

#[test]
fn an_object_without_writes_is_gone_when_it_is_dropped() {
    let writers = Writers::new();
    assert!(writers.begin());
    assert!(!writers.end(), "it is in use");
    assert!(!writers.are_gone() && !writers.is_dropped());
    assert!(writers.drop_object());
    assert!(writers.are_gone() && writers.is_dropped());
}

#[test]
fn a_write_outlives_the_drop_and_its_end_is_told_once() {
    let writers = Writers::new();
    assert!(writers.begin() && writers.begin());
    assert!(!writers.drop_object());
    assert!(!writers.begin(), "nothing is written into a dropped object");
    assert!(!writers.end() && !writers.end());
    assert!(!writers.are_gone());
    assert!(writers.end());
    assert!(writers.are_gone());
}

fn contents(size: u64) -> Contents<Vec<AtomicU64>> {
    Contents::new(size, vec![AtomicU64::new(0)]).unwrap()
}

#[test]
fn a_write_is_cut_to_whole_pages_before_the_end() {
    let contents = contents(10000);
    assert_eq!(contents.whole_pages(0, 512), 0);
    assert_eq!(contents.whole_pages(0, 4096), 4096);
    assert_eq!(contents.whole_pages(0, 8704), 8192);
    assert_eq!(contents.whole_pages(4096, 5903), 4096);
    // The last page, up to the end of the object, or past it.
    assert_eq!(contents.whole_pages(4096, 5904), 5904);
    assert_eq!(contents.whole_pages(8192, 2048), 2048);
    assert_eq!(contents.whole_pages(8192, 1024), 0);
    assert_eq!(contents.whole_pages(1 << 20, 512), 512);
    assert_eq!(contents.whole_pages(u64::MAX - 4095, 512), 512);
}

#[test]
fn only_missing_pages_are_undone() {
    let contents = contents(5 << 12);
    contents.add(4096, 4096);
    assert_eq!(contents.missing_bytes(0, 16384), Some(0..4096));
    assert_eq!(contents.missing_bytes(4096, 16384), Some(8192..20480));
    assert_eq!(contents.missing_bytes(4096, 512), None);
    assert_eq!(contents.missing_bytes(1 << 20, 4096), None);
}
