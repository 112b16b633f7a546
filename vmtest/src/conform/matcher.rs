// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Whether what was seen is what a step expects.
//!
//! Everything is compared word for word but for READ: how much is read ahead is the kernel's
//! choice. `READ blob 4K+8K` is any page-aligned range of that blob which covers these pages and
//! does not go past its last one; `READ blob =4K+8K` is exactly this range.

use std::collections::BTreeMap;
use std::ops::Range;

use super::words;

const PAGE: u64 = 4096;

/// The size of each blob in bytes, by its cookie key.
pub(super) type Sizes = BTreeMap<String, u64>;

/// Whether `seen` is what `expected` (results parted by ` or `) stands for.
pub(super) fn holds(expected: &str, seen: &str, sizes: &Sizes) -> bool {
    expected
        .split(" or ")
        .any(|expected| expected == seen || covers(expected, seen, sizes) == Some(true))
}

fn covers(expected: &str, seen: &str, sizes: &Sizes) -> Option<bool> {
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
    let end = sizes.get(object)?.next_multiple_of(PAGE);
    let aligned = seen.start % PAGE == 0 && seen.end % PAGE == 0;
    Some(aligned && seen.start <= wanted.start && wanted.end <= seen.end && seen.end <= end)
}

/// Object and range of a READ, and its ids where they are told.
fn read(text: &str) -> Option<(&str, &str, &str)> {
    let (object, rest) = text.strip_prefix("READ ")?.split_once(' ')?;
    let (range, ids) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((object, range, ids))
}

fn span(text: &str) -> Option<Range<u64>> {
    let (offset, length) = text.split_once('+')?;
    let (offset, length) = (words::number(offset).ok()?, words::number(length).ok()?);
    Some(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expected: &str, seen: &str) -> bool {
        let sizes = Sizes::from([("d".to_owned(), 10_000)]);
        holds(expected, seen, &sizes)
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
