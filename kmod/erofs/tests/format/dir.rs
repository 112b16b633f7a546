// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::{Defect, DirBlock, FileType};

use crate::image::dir_block;

/// Names of a block, and the defect that ended them.
fn names(block: &[u8]) -> (Vec<Vec<u8>>, Option<Defect>) {
    let block = match DirBlock::new(block) {
        Ok(block) => block,
        Err(defect) => return (Vec::new(), Some(defect)),
    };
    let mut names = Vec::new();
    for entry in block.entries_from(0) {
        match entry {
            Ok(entry) => names.push(entry.name.to_vec()),
            Err(defect) => return (names, Some(defect)),
        }
    }
    (names, None)
}

fn set_nameoff(block: &mut [u8], index: usize, nameoff: u16) {
    block[index * 12 + 8..index * 12 + 10].copy_from_slice(&nameoff.to_le_bytes());
}

#[test]
fn entries_have_all_fields() {
    let block = dir_block(&[(5, 2, b"."), (6, 2, b".."), (u64::MAX, 7, b"link")]);
    let block = DirBlock::new(&block).unwrap();
    assert_eq!(block.len(), 3);
    let last = block.entry(2).unwrap();
    assert_eq!((last.nid, last.offset), (u64::MAX, 24));
    assert_eq!(
        (last.file_type, last.name),
        (FileType::Symlink, &b"link"[..])
    );
    assert_eq!(block.entry(3), Err(Defect::NameOffset));
    assert_eq!(block.entry(u32::MAX), Err(Defect::NameOffset));
}

#[test]
fn the_last_name_ends_at_nul_or_block() {
    let mut block = dir_block(&[(1, 1, b"a"), (2, 1, b"bc")]);
    assert_eq!(names(&block).0, [&b"a"[..], b"bc"]);
    block.extend([0, 9, 9]);
    assert_eq!(names(&block).0, [&b"a"[..], b"bc"]);
}

#[test]
fn a_nul_inside_another_name_is_kept() {
    let block = dir_block(&[(1, 1, b"a\0z"), (2, 1, b"b")]);
    assert_eq!(names(&block).0, [&b"a\0z"[..], b"b"]);
}

#[test]
fn first_name_offsets() {
    let good = dir_block(&[(1, 1, b"abc")]);
    for nameoff in [0, 11, 13, 15, 16, 24, 4095, 4096, 65535] {
        let mut block = good.clone();
        set_nameoff(&mut block, 0, nameoff);
        let wrong = (Vec::new(), Some(Defect::DirentCount));
        assert_eq!(names(&block), wrong, "{nameoff}");
    }
    for len in 0..12 {
        let short = (Vec::new(), Some(Defect::DirBlockShort));
        assert_eq!(names(&good[..len]), short);
    }
    assert_eq!(names(&good[..12]).1, Some(Defect::DirentCount));
    assert_eq!(names(&good[..13]), (vec![b"a".to_vec()], None));
}

#[test]
fn later_name_offsets() {
    let good = dir_block(&[(1, 1, b"a"), (2, 1, b"b"), (3, 1, b"c")]);
    for (index, nameoff, seen, defect) in [
        // Equal offsets, then decreasing offsets.
        (1, 36, 0, Defect::NameLength),
        (1, 35, 0, Defect::NameLength),
        (2, 36, 1, Defect::NameLength),
        (2, 0, 1, Defect::NameLength),
        // Beyond the block.
        (1, 40, 0, Defect::NameOffset),
        (2, 40, 1, Defect::NameOffset),
        (2, 65535, 1, Defect::NameOffset),
        // At the end of the block: the last name is empty.
        (2, 39, 2, Defect::NameLength),
    ] {
        let mut block = good.clone();
        set_nameoff(&mut block, index, nameoff);
        let (names, ended) = names(&block);
        assert_eq!(
            (names.len(), ended),
            (seen, Some(defect)),
            "{index} {nameoff}"
        );
    }
}

#[test]
fn an_entry_alone_checks_its_own_name() {
    let mut block = dir_block(&[(1, 1, b"a"), (2, 1, b"b"), (3, 1, b"c")]);
    set_nameoff(&mut block, 1, 12);
    let block = DirBlock::new(&block).unwrap();
    assert_eq!(block.entry(1), Err(Defect::NameOffset));
    assert!(block.entry(2).is_ok());
}

#[test]
fn lengths_of_names() {
    for (len, good) in [(1, true), (255, true), (256, false)] {
        let name = vec![b'x'; len];
        let last = dir_block(&[(1, 1, &name)]);
        assert_eq!(names(&last).1.is_none(), good, "last, {len}");
        let first = dir_block(&[(1, 1, &name), (2, 1, b"y")]);
        assert_eq!(names(&first).1.is_none(), good, "first, {len}");
    }
    let mut block = dir_block(&[(1, 1, b"a"), (2, 1, b"b")]);
    block[25] = 0;
    assert_eq!(names(&block).1, Some(Defect::NameLength));
}

#[test]
fn resuming_rounds_up() {
    let block = dir_block(&[(1, 1, b"a"), (2, 1, b"b"), (3, 1, b"c")]);
    let block = DirBlock::new(&block).unwrap();
    for (offset, left) in [
        (0, 3),
        (1, 2),
        (12, 2),
        (13, 1),
        (24, 1),
        (25, 0),
        (36, 0),
        (u32::MAX, 0),
    ] {
        assert_eq!(block.entries_from(offset).count(), left, "{offset}");
    }
    let next = block.entries_from(13).next().unwrap().unwrap();
    assert_eq!((next.nid, next.offset), (3, 24));
}

#[test]
fn types() {
    let expected = [0, 8, 4, 2, 6, 1, 12, 10];
    for byte in 0..=255u8 {
        let dtype = expected.get(usize::from(byte)).copied().unwrap_or(0);
        assert_eq!(FileType::from_disk(byte).dtype(), dtype);
    }
}
