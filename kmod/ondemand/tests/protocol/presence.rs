// SPDX-License-Identifier: GPL-2.0

//! The record of pages, against a vector of booleans.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;

use ondine_ondemand::page::{pages_of, PAGE_SIZE};
use ondine_ondemand::presence::{pages_written, words_for};
use ondine_ondemand::{Presence, Run};
use proptest::prelude::*;

fn words(pages: u64) -> Vec<AtomicU64> {
    (0..words_for(pages)).map(|_| AtomicU64::new(0)).collect()
}

/// Returns whether `page` is present, in a blob of `model.len()` pages.
fn has(model: &[bool], page: u64) -> bool {
    usize::try_from(page).is_ok_and(|page| model.get(page) == Some(&true))
}

/// The expected answers for one range, found page by page.
fn check(record: &Presence<'_>, model: &[bool], range: Range<u64>) -> Result<(), TestCaseError> {
    let (first, count) = (range.start, range.end - range.start);
    let missing = range.clone().find(|page| !has(model, *page));
    prop_assert_eq!(record.contains(first, count), missing.is_none());
    prop_assert_eq!(record.first_missing(first, count), missing);
    let run = missing.map(|start| Run {
        first: start,
        count: (start..range.end)
            .take_while(|page| !has(model, *page))
            .count() as u64,
    });
    prop_assert_eq!(record.missing_run(first, count), run);
    let present = range.clone().find(|page| has(model, *page));
    prop_assert_eq!(record.first_present(first, count), present);
    Ok(())
}

/// Ranges that begin and end near the edges of words more often than not.
fn range() -> impl Strategy<Value = Range<u64>> {
    let near = (0u64..6, 0u64..5).prop_map(|(word, off)| (word * 64 + off).saturating_sub(2));
    let place = prop_oneof![near, 0u64..400];
    (place.clone(), place).prop_map(|(a, b)| a.min(b)..a.max(b))
}

proptest! {
    #[test]
    fn every_answer_is_the_models(
        pages in prop_oneof![0u64..3, 62u64..67, 126u64..131, 0u64..330],
        inserts in proptest::collection::vec(range(), 0..12),
        questions in proptest::collection::vec(range(), 1..24),
    ) {
        let words = words(pages);
        let record = Presence::new(&words, pages);
        let mut model = vec![false; pages as usize];
        for range in inserts {
            let (first, count) = (range.start, range.end - range.start);
            let mut added = 0;
            for page in range.start..range.end.min(pages) {
                added += u64::from(!std::mem::replace(&mut model[page as usize], true));
            }
            prop_assert_eq!(record.insert(first, count), added);
            prop_assert_eq!(record.insert(first, count), 0);
        }
        prop_assert_eq!(record.count(), model.iter().filter(|page| **page).count() as u64);
        for range in questions {
            check(&record, &model, range)?;
        }
    }

    #[test]
    fn ranges_without_end(first: u64, count: u64, near: bool) {
        let words = words(100);
        let record = Presence::new(&words, 100);
        record.insert(0, u64::MAX);
        let first = if near { u64::MAX - first % 200 } else { first };
        let whole = count == 0 || (first < 100 && count <= 100 - first);
        prop_assert_eq!(record.contains(first, count), whole);
        let missing = (!whole).then_some(first.max(100));
        prop_assert_eq!(record.first_missing(first, count), missing);
        let run = missing.map(|start| Run { first: start, count: count - (start - first) });
        prop_assert_eq!(record.missing_run(first, count), run);
        let present = (count != 0 && first < 100).then_some(first);
        prop_assert_eq!(record.first_present(first, count), present);
    }

    /// Byte by byte: a page is whole when no byte of the blob in it is missing.
    #[test]
    fn pages_of_a_write_are_those_it_fills(
        offset in prop_oneof![0u64..20_000, (0u64..5).prop_map(|page| page * PAGE_SIZE)],
        len in prop_oneof![0u64..20_000, (0u64..5).prop_map(|page| page * PAGE_SIZE)],
        size in prop_oneof![0u64..20_000, (0u64..5).prop_map(|page| page * PAGE_SIZE)],
    ) {
        let run = pages_written(offset, len, size);
        for page in 0..pages_of(size) {
            let bytes = page * PAGE_SIZE..((page + 1) * PAGE_SIZE).min(size);
            let filled = offset <= bytes.start && bytes.end <= offset + len;
            let counted = run.first <= page && page - run.first < run.count;
            prop_assert_eq!(counted, filled, "page {}", page);
        }
        prop_assert!(run.count == 0 || run.first + run.count <= pages_of(size));
    }

    #[test]
    fn pages_of_any_write_at_all(offset: u64, len: u64, size: u64) {
        let run = pages_written(offset, len, size);
        prop_assert!(run.count == 0 || run.first + run.count <= pages_of(size));
    }
}

/// Every range of a blob with one page missing, wherever that is.
#[test]
fn one_missing_page_is_found_in_every_range_that_has_it() {
    const PAGES: u64 = 140;
    for hole in 0..PAGES {
        let words = words(PAGES);
        let record = Presence::new(&words, PAGES);
        assert_eq!(record.insert(0, hole), hole);
        assert_eq!(record.insert(hole + 1, PAGES), PAGES - hole - 1);
        for first in 0..PAGES {
            for count in 0..=PAGES - first {
                let there = (first..first + count).contains(&hole).then_some(hole);
                assert_eq!(record.contains(first, count), there.is_none());
                assert_eq!(record.first_missing(first, count), there);
            }
        }
    }
}

#[test]
fn the_last_page_is_whole_at_the_end_of_the_blob() {
    let run = |first, count| Run { first, count };
    assert_eq!(pages_written(0, 4096, 5000), run(0, 1));
    assert_eq!(pages_written(4096, 903, 5000), run(1, 0));
    assert_eq!(pages_written(4096, 904, 5000), run(1, 1));
    assert_eq!(pages_written(4096, 4096, 5000), run(1, 1));
    assert_eq!(pages_written(1, 8191, 8192), run(1, 1));
    assert_eq!(pages_written(8192, 4096, 5000).count, 0);
    assert_eq!(pages_written(0, 4096, 0).count, 0);
}

#[test]
fn sizes_of_records() {
    assert_eq!([0, 1, 64, 65].map(words_for), [0, 1, 1, 2]);
    assert_eq!([0, 1, 4096, 4097].map(pages_of), [0, 1, 1, 2]);
    assert_eq!(pages_of(u64::MAX), 1 << 52);
}

#[test]
fn with_too_few_words_the_rest_is_missing() {
    let words = words(64);
    // The work is bounded by the words too, or this would not end.
    let record = Presence::new(&words, u64::MAX);
    assert_eq!(record.insert(0, u64::MAX), 64);
    assert!(record.contains(0, 64));
    assert_eq!(record.first_missing(0, 1000), Some(64));
    assert!(!Presence::new(&[], 10).contains(0, 1));
}

/// Every page is counted once, by one of the racing writers.
#[test]
fn racing_writers_count_each_page_once() {
    const PAGES: u64 = 1000;
    for round in 0..200u64 {
        let words = words(PAGES);
        let record = Presence::new(&words, PAGES);
        let added = AtomicU64::new(0);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (added, start) = (&added, &start);
                scope.spawn(move || {
                    start.wait();
                    let step = 1 + (round + thread) % 7 * 13;
                    for first in (0..PAGES).step_by(step as usize) {
                        added.fetch_add(record.insert(first, step), Relaxed);
                    }
                });
            }
        });
        assert_eq!(added.into_inner(), PAGES);
        assert_eq!(record.count(), PAGES);
        assert!(record.contains(0, PAGES));
    }
}

/// A reader that sees the bit of a page sees the bytes that were written before it.
#[test]
fn a_bit_carries_what_was_written_before_it() {
    const PAGES: u64 = 20_000;
    let words = words(PAGES);
    let record = Presence::new(&words, PAGES);
    let bytes: Vec<AtomicU64> = (0..PAGES).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (page, byte) in (0u64..).zip(&bytes) {
                byte.store(page + 1, Relaxed);
                record.insert(page, 1);
            }
        });
        for (page, byte) in (0u64..).zip(&bytes) {
            while !record.contains(page, 1) {
                std::hint::spin_loop();
            }
            assert_eq!(byte.load(Relaxed), page + 1);
        }
    });
}
