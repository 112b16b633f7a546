// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Listing, lookup, and walks of cyclic trees (docs/spec/erofs-format.md section 6).

use ondine_model::observation::{Errno, Text};
use ondine_model::read::Result;
use ondine_model::strictness::Defect;

use crate::bytes::{row, Bytes, BLOCK};

const FILE: u16 = 0o100_644;
const DIRECTORY: u16 = 0o040_755;
/// The root's directory block.
const NAMES: usize = 2 * BLOCK;

fn sound() -> Bytes {
    let mut image = Bytes::new(5);
    image.compact(8, 0, FILE, 0, 0);
    image.directory(
        2,
        &[(".", 1), ("..", 1), ("alpha", 8), ("beta", 8), ("gamma", 8)],
    );
    image
}

fn list(image: &Bytes) -> Result<Vec<Text>> {
    let opened = image.open().expect("it mounts");
    let root = opened.root().clone();
    let names = opened
        .readdir(&root)
        .map(|entry| entry.map(|entry| entry.name));
    names.collect()
}

fn find(image: &Bytes, name: &str) -> Result<Option<u64>> {
    let opened = image.open().expect("it mounts");
    let root = opened.root().clone();
    opened
        .lookup(&root, name.as_bytes())
        .map(|entry| entry.map(|entry| entry.nid))
}

#[test]
fn names_are_listed_and_found() {
    let image = sound();
    assert_eq!(list(&image).expect("sound").len(), 5);
    for name in [".", "..", "alpha", "beta", "gamma"] {
        assert!(find(&image, name).expect("sound").is_some(), "{name}");
    }
    for name in ["", "alph", "alphaa", "zeta", "!"] {
        assert_eq!(find(&image, name).expect("sound"), None, "{name}");
    }
}

#[test]
fn the_first_name_offset_counts_the_entries() {
    for offset in [0, 11, 13, 4096, 65535] {
        let mut image = sound();
        image.u16(NAMES + 8, offset);
        assert_eq!(row(list(&image)), Defect::DirentFirst, "{offset}");
        let expected = if offset == 0 {
            Defect::LookupEmptyBlock
        } else {
            Defect::LookupDirent
        };
        assert_eq!(row(find(&image, "alpha")), expected, "{offset}");
    }
}

#[test]
fn names_are_within_their_block_and_in_their_order() {
    // Entry 2 ends where entry 3 begins.
    for offset in [0, 60, 63, 4096, 65535] {
        let mut image = sound();
        image.u16(NAMES + 12 * 3 + 8, offset);
        assert_eq!(row(list(&image)), Defect::DirentName, "{offset}");
        assert_eq!(row(find(&image, "alpha")), Defect::LookupDirent, "{offset}");
    }
    let mut image = sound();
    image.u16(NAMES + 12 * 4 + 8, 4096);
    assert_eq!(row(find(&image, "gamma")), Defect::LookupDirent);
    let mut image = sound();
    image.put(NAMES + 72, &[b'x'; 256]);
    assert_eq!(
        row(list(&image)),
        Defect::DirentName,
        "the last name is of 256 bytes and more"
    );
}

#[test]
fn entries_before_a_bad_entry_are_listed() {
    let mut image = sound();
    image.u16(NAMES + 12 * 4 + 8, 5000);
    let seen = image.open().expect("it mounts").observe();
    let listing = seen.entries[&Text::default()]
        .listing
        .clone()
        .expect("the root");
    assert_eq!(
        (listing.names, listing.ended),
        (vec![Text::from("alpha")], Some(Errno::EUCLEAN))
    );
}

#[test]
fn a_hole_is_no_directory_block() {
    let mut image = sound();
    image.compact(1, 0, DIRECTORY, 4096, u32::MAX);
    assert_eq!(row(list(&image)), Defect::DirentFirst);
    assert_eq!(row(find(&image, "alpha")), Defect::LookupEmptyBlock);
}

#[test]
fn names_after_the_size_are_not_there() {
    let mut image = sound();
    let names_end = 60 + 1 + 2 + 5 + 4 + 5;
    image.u32(Bytes::slot(1) + 8, names_end);
    assert_eq!(find(&image, "gamma").expect("sound"), Some(8));
    image.u32(Bytes::slot(1) + 8, names_end - 1);
    assert_eq!(find(&image, "gamma").expect("sound"), None);
    assert_eq!(find(&image, "gamm").expect("sound"), Some(8));
    image.u32(Bytes::slot(1) + 8, names_end - 5);
    assert_eq!(row(find(&image, "gamma")), Defect::LookupDirent);
    image.u32(Bytes::slot(1) + 8, 4);
    assert_eq!(row(list(&image)), Defect::DirentFirst);
}

#[test]
fn the_search_crosses_blocks() {
    let mut image = Bytes::new(6);
    image
        .compact(8, 0, FILE, 0, 0)
        .compact(1, 0, DIRECTORY, 3 * 4096, 3);
    image.directory(3, &[(".", 1), ("..", 1), ("a", 8)]);
    image
        .directory(4, &[("b", 8)])
        .directory(5, &[("c", 8), ("d", 8)]);
    for name in [".", "a", "b", "c", "d"] {
        assert!(find(&image, name).expect("sound").is_some(), "{name}");
    }
    for name in ["!", "aa", "bb", "cc", "e"] {
        assert!(find(&image, name).expect("sound").is_none(), "{name}");
    }
    assert_eq!(list(&image).expect("sound").len(), 6);
}

#[test]
fn the_search_ends_with_the_first_block_that_can_hold_the_name() {
    let mut image = Bytes::new(6);
    image
        .compact(8, 0, FILE, 0, 0)
        .compact(1, 0, DIRECTORY, 3 * 4096, 3);
    // Block 1 of 3 is the middle one. C would continue to block 2, whose first name is "c".
    image
        .directory(3, &[("a", 8)])
        .directory(4, &[("b", 8), ("d", 8), ("f", 8)])
        .directory(5, &[("c", 8), ("d", 9)]);
    assert_eq!(find(&image, "d").expect("it reads"), Some(8));
    assert_eq!(find(&image, "e").expect("it reads"), None);
    assert_eq!(find(&image, "c").expect("it reads"), None);
    // The contents of block 2 are irrelevant unless the name sorts after block 1.
    image.put(5 * 4096, &[0; 12]);
    assert_eq!(find(&image, "f").expect("it reads"), Some(8));
    assert_eq!(row(find(&image, "g")), Defect::LookupEmptyBlock);
}

#[test]
fn of_two_middles_the_search_takes_the_lower() {
    let mut image = Bytes::new(4);
    image.compact(8, 0, FILE, 0, 0);
    // Entries 1 to 4 are searched: 2 comes first.
    image.directory(2, &[("a", 8), ("y", 8), ("c", 8), ("b", 8), ("z", 8)]);
    for (name, found) in [("c", true), ("z", true), ("b", false), ("y", false)] {
        let entry = find(&image, name).expect("it reads");
        assert_eq!(entry.is_some(), found, "{name}");
    }
}

#[test]
fn a_name_offset_inside_the_entries_is_refused() {
    let mut image = Bytes::new(4);
    image.compact(8, 0, FILE, 0, 0);
    image.directory(2, &[("a", 8), ("b", 8), ("c", 8), ("d", 8)]);
    image.u16(2 * 4096 + 12 * 2 + 8, 24);
    assert_eq!(row(find(&image, "c")), Defect::LookupDirent);
}

#[test]
fn a_name_that_begins_with_nul_is_listed_but_not_reachable() {
    let mut image = sound();
    image.put(NAMES + 60 + 3, b"\0");
    let seen = image.open().expect("it mounts").observe();
    let root = &seen.entries[&Text::default()];
    let names = &root.listing.as_ref().expect("the root").names;
    assert_eq!(names[0], Text::default());
    assert_eq!(seen.paths(), names.len(), "the root and all names but one");
}

#[test]
fn a_slash_ends_a_listing() {
    let mut image = sound();
    image.put(NAMES + 60 + 3 + 5, b"b/ta");
    assert_eq!(row(list(&image)), Defect::SlashInName);
}

#[test]
fn a_directory_that_holds_itself_is_walked_once() {
    let mut image = Bytes::new(5);
    image.compact(8, 0, DIRECTORY, 4096, 3);
    image.directory(2, &[(".", 1), ("..", 1), ("down", 8)]);
    image.directory(3, &[(".", 8), ("..", 1), ("me", 8), ("up", 1)]);
    let seen = image.open().expect("it mounts").observe();
    assert_eq!(seen.entries[&Text::from("down/me")].stat, Err(Errno::ELOOP));
    assert_eq!(seen.entries[&Text::from("down/up")].stat, Err(Errno::ELOOP));
    assert_eq!(seen.paths(), 4);
    let found = ondine_model::check::image_tree(&image.open().expect("it mounts"));
    let cycles = found
        .iter()
        .filter(|finding| finding.defect == Some(Defect::DirectoryCycle));
    assert_eq!(cycles.count(), 2, "{found:?}");
}

#[test]
fn check_reports_defects_that_no_operation_meets() {
    let mut image = sound();
    image.directory(2, &[("..", 8), ("beta", 8), ("alpha", 8), ("alpha", 8)]);
    image
        .extended(10, 0, FILE, 0, (0, 0))
        .u32(Bytes::slot(10) + 40, 1_000_000_000);
    image.u64(NAMES + 12, 10);
    let found = ondine_model::check::image_tree(&image.open().expect("it mounts"));
    for defect in [
        Defect::UnsortedDirectory,
        Defect::DuplicateName,
        Defect::DotEntries,
        Defect::DirentType,
        Defect::Nanoseconds,
        Defect::LinkCount,
    ] {
        assert!(
            found.iter().any(|finding| finding.defect == Some(defect)),
            "{defect:?} in {found:?}"
        );
    }
}
