// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparison of a step's result with the expected one.
//!
//! Everything is compared word for word but for READ: how much is read ahead is the kernel's
//! choice. `READ blob 4K+8K` is any page-aligned range of that blob which covers these pages and
//! does not go past its last one; `READ blob =4K+8K` is exactly this range. ondine has made its
//! choice, so that its READs have bounds of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use vmtest_wire::conform::lexer;

const PAGE: u64 = 4096;
/// Bytes of ondine's longest message, of file data.
const MESSAGE: u64 = 1 << 20;
/// Bytes, aligned, of its messages for metadata; and what the page cache reads around a page fault.
const WINDOW: u64 = 128 << 10;

/// A blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob {
    /// Its size in bytes.
    pub(super) size: u64,
    /// It holds nothing but metadata: file data is on other blobs.
    pub(super) is_metadata: bool,
}

/// Each blob, by its cookie key.
pub(super) type Blobs = BTreeMap<String, Blob>;

/// Compares `seen` with `expected` (alternatives separated by ` or `). `ours`: the result is ondine's.
pub(super) fn holds(expected: &str, seen: &str, blobs: &Blobs, ours: bool) -> bool {
    expected
        .split(" or ")
        .any(|expected| expected == seen || covers(expected, seen, blobs, ours) == Some(true))
}

fn covers(expected: &str, seen: &str, blobs: &Blobs, ours: bool) -> Option<bool> {
    let (object, wanted, ids) = read(expected)?;
    let (seen_object, range, seen_ids) = read(seen)?;
    if (object, ids) != (seen_object, seen_ids) {
        return Some(false);
    }
    let seen = span(range)?;
    if let Some(exact) = wanted.strip_prefix('=') {
        return Some(span(exact)? == seen);
    }
    let wanted = span(wanted)?;
    let blob = blobs.get(object)?;
    let end = blob.size.next_multiple_of(PAGE);
    let aligned = seen.start % PAGE == 0 && seen.end % PAGE == 0;
    let covered = seen.start <= wanted.start && wanted.end <= seen.end && seen.end <= end;
    Some(aligned && covered && (!ours || is_bounded(&wanted, &seen, blob)))
}

/// Checks the length of ondine's READ for missing pages at `wanted`: metadata is read in aligned windows, except
/// for the first page, which is read before the size is known; file data from about the first wanted page on.
fn is_bounded(wanted: &Range<u64>, seen: &Range<u64>, blob: &Blob) -> bool {
    let from = wanted.start / WINDOW * WINDOW;
    if blob.is_metadata {
        let to = wanted.end.next_multiple_of(WINDOW);
        let whole = from..to.min(blob.size.next_multiple_of(PAGE));
        return *seen == whole || *seen == (0..PAGE);
    }
    let length = (wanted.end - wanted.start).max(MESSAGE);
    seen.start + WINDOW >= wanted.start && seen.end - seen.start <= length
}

/// Object and range of a READ, and its ids where they are told.
fn read(text: &str) -> Option<(&str, &str, &str)> {
    let (object, rest) = text.strip_prefix("READ ")?.split_once(' ')?;
    let (range, ids) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((object, range, ids))
}

fn span(text: &str) -> Option<Range<u64>> {
    let (offset, length) = text.split_once('+')?;
    let (offset, length) = (lexer::number(offset).ok()?, lexer::number(length).ok()?);
    Some(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expected: &str, seen: &str) -> bool {
        let blob = |size, is_metadata| Blob { size, is_metadata };
        let blobs = Blobs::from([
            ("d".to_owned(), blob(10_000, false)),
            ("large".to_owned(), blob(8 << 20, false)),
            ("boot".to_owned(), blob(300 << 10, true)),
        ]);
        let oracle = holds(expected, seen, &blobs, false);
        let ours = holds(expected, seen, &blobs, true);
        assert!(oracle || !ours, "ondine may what the oracle may not");
        ours
    }

    #[test]
    fn a_read_covers_its_pages_and_stays_in_the_blob() {
        assert!(judge("READ d 4K+4K", "READ d 4096+4096"));
        assert!(judge("READ d 4K+4K", "READ d 0+12288"));
        for wrong in [
            "READ d 0+4096",
            "READ d 4096+100",
            "READ d 0+16384",
            "READ d 1+12288",
            "READ e 4096+4096",
            "OPEN d volume=v",
            "nothing",
        ] {
            assert!(!judge("READ d 4K+4K", wrong), "{wrong}");
        }
    }

    #[test]
    fn ondines_reads_have_bounds() {
        let read = |object: &str, from: u64, to: u64| {
            let (from, to) = (from << 10, to << 10);
            format!("READ {object} {from}+{}", to - from)
        };
        let data = |from, to| judge("READ large 2M+4K", &read("large", from, to));
        assert!(data(2048, 3072));
        assert!(data(2048 - 128, 2048 + 4));
        assert!(!data(2048, 3072 + 4));
        assert!(!data(2048 - 132, 2048 + 4));
        let metadata = |from, to| judge("READ boot 132K+4K", &read("boot", from, to));
        assert!(metadata(128, 256));
        assert!(!metadata(132, 136));
        assert!(!metadata(0, 256));
        let first = |from, to| judge("READ boot 0+4K", &read("boot", from, to));
        assert!(first(0, 4) && first(0, 128));
        assert!(!first(0, 8));
        let last = |from, to| judge("READ boot 260K+4K", &read("boot", from, to));
        assert!(last(256, 300));
    }

    #[test]
    fn an_exact_read_is_exact() {
        assert!(judge("READ d =4K+4K", "READ d 4096+4096"));
        assert!(!judge("READ d =4K+4K", "READ d 0+12288"));
        let with_ids = |ids: &str| format!("READ d 4096+4096 {ids}");
        assert!(judge("READ d 4K+4K message=1", &with_ids("message=1")));
        assert!(!judge("READ d 4K+4K message=1", &with_ids("message=2")));
    }

    #[test]
    fn everything_else_is_word_for_word() {
        assert!(judge("EIO", "EIO"));
        assert!(!judge("EIO", "EINTR"));
        assert!(judge("EIO or data", "data"));
        assert!(!judge("ok", "ok "));
    }
}
