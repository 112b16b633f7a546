// SPDX-License-Identifier: GPL-2.0

use std::cell::Cell;

use ondine_erofs::{lookup, Defect, DirSource, Error, FileType, Found, Inode};

use crate::image::{dir_block, Image, Node, DIR, EXTENDED};

/// A directory in memory that counts fetched blocks.
struct Dir {
    bytes: Vec<u8>,
    size: u64,
    fetched: Cell<u32>,
}

impl DirSource for Dir {
    type Block = Vec<u8>;
    type Error = ();

    fn block(&self, index: u32) -> Result<Vec<u8>, Error<()>> {
        self.fetched.set(self.fetched.get() + 1);
        let start = usize::try_from(index).unwrap() * 512;
        let mut block = self.bytes.get(start..).ok_or(Error::Source(()))?.to_vec();
        block.resize(512, 0);
        Ok(block)
    }
}

impl Dir {
    /// Blocks of the given names. Nids count from 0.
    fn new(blocks: &[&[&[u8]]]) -> Self {
        let mut nid = 0;
        let mut bytes: Vec<u8> = Vec::new();
        for names in blocks {
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            let entries: Vec<(u64, u8, &[u8])> = names
                .iter()
                .map(|name| {
                    nid += 1;
                    (nid - 1, 1, *name)
                })
                .collect();
            bytes.extend(dir_block(&entries));
        }
        Self {
            size: bytes.len() as u64,
            bytes,
            fetched: Cell::new(0),
        }
    }

    fn inode(&self) -> (Image, Inode) {
        let mut image = Image::new(9, 8192);
        image.put(4096, &Node::new(EXTENDED, DIR, self.size).bytes());
        let inode = image.inode(128).unwrap();
        (image, inode)
    }

    fn find(&self, name: &[u8]) -> Result<Option<u64>, Error<()>> {
        let (image, inode) = self.inode();
        let found = lookup(self, &image.super_block(), &inode, name)?;
        Ok(found.map(|found| found.nid))
    }
}

#[test]
fn every_name_of_some_blocks() {
    for per_block in [1, 2, 7, 20] {
        for count in [1usize, 2, 3, 20, 99] {
            let names: Vec<Vec<u8>> = (0..count)
                .map(|i| format!("{:03}", i * 2 + 1).into_bytes())
                .collect();
            let slices: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let blocks: Vec<&[&[u8]]> = slices.chunks(per_block).collect();
            let dir = Dir::new(&blocks);
            for (nid, name) in names.iter().enumerate() {
                assert_eq!(dir.find(name), Ok(Some(nid as u64)));
            }
            for between in 0..=count {
                let name = format!("{:03}", between * 2);
                assert_eq!(dir.find(name.as_bytes()), Ok(None));
            }
            // A longer and a shorter name than an existing one.
            assert_eq!(dir.find(b"0011"), Ok(None));
            assert_eq!(dir.find(b"00"), Ok(None));
        }
    }
}

#[test]
fn few_blocks_are_fetched() {
    let names: Vec<Vec<u8>> = (0..64).map(|i| vec![b'a' + i]).collect();
    let slices: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let blocks: Vec<&[&[u8]]> = slices.chunks(2).collect();
    let dir = Dir::new(&blocks);
    for name in &names {
        dir.fetched.set(0);
        dir.find(name).unwrap();
        assert!(dir.fetched.get() <= 6);
    }
    let one = Dir::new(&[&[b".", b"..", b"x"]]);
    one.find(b"x").unwrap();
    assert_eq!(one.fetched.get(), 1);
}

#[test]
fn names_out_of_order_are_missed_deterministically() {
    // Of entries 1 to 4 the search takes 2 first, like the C driver.
    let dir = Dir::new(&[&[b"a", b"y", b"c", b"b", b"z"]]);
    assert_eq!(dir.find(b"c"), Ok(Some(2)));
    assert_eq!(dir.find(b"z"), Ok(Some(4)));
    assert_eq!(dir.find(b"b"), Ok(None));
    assert_eq!(dir.find(b"y"), Ok(None));
    // Of two blocks it takes the first, and no other if the name can be there.
    let dir = Dir::new(&[&[b"a", b"c", b"e"], &[b"b", b"d"]]);
    assert_eq!(dir.find(b"d"), Ok(None));
    assert_eq!(dir.fetched.get(), 1);
}

#[test]
fn odd_requests() {
    let dir = Dir::new(&[&[b".", b"..", b"x"]]);
    assert_eq!(dir.find(b""), Ok(None));
    assert_eq!(dir.find(&[b'x'; 255]), Ok(None));
    let long = dir.find(&[b'x'; 256]);
    assert_eq!(long, Err(Error::Defect(Defect::NameTooLong)));
    let mut empty = Dir::new(&[&[b"x"]]);
    empty.size = 0;
    assert_eq!(empty.find(b"x"), Ok(None));
}

#[test]
fn bytes_are_unsigned_and_a_nul_ends_a_name() {
    let dir = Dir::new(&[&[b"!", b".", b"..", b"a\0z", b"a\xff", b"\xff"]]);
    assert_eq!(dir.find(b"a"), Ok(Some(3)));
    assert_eq!(dir.find(b"a\xff"), Ok(Some(4)));
    assert_eq!(dir.find(b"\xff"), Ok(Some(5)));
    assert_eq!(dir.find(b"!"), Ok(Some(0)));
}

#[test]
fn names_behind_the_size_are_not_there() {
    let mut dir = Dir::new(&[&[b"a", b"bc"]]);
    dir.size -= 1;
    assert_eq!(dir.find(b"bc"), Ok(None));
    assert_eq!(dir.find(b"b"), Ok(Some(1)));
}

#[test]
fn entries_met_by_the_search_are_checked() {
    let mut dir = Dir::new(&[&[b"a", b"b", b"c"]]);
    dir.bytes[20] = 0;
    assert!(matches!(dir.find(b"b"), Err(Error::Defect(_))));
    let mut dir = Dir::new(&[&[b"a"]]);
    dir.bytes[8] = 0;
    assert_eq!(dir.find(b"a"), Err(Error::Defect(Defect::DirentCount)));
    dir.size = 2048;
    assert_eq!(dir.find(b"a"), Err(Error::Source(())));
}

#[test]
fn sizes_of_directories() {
    let mut dir = Dir::new(&[&[b"a"]]);
    // Refused with its inode already.
    let (image, mut inode) = dir.inode();
    inode.size = (1 << 31) * 512 + 1;
    let found = lookup(&dir, &image.super_block(), &inode, b"a");
    assert_eq!(found, Err(Error::Defect(Defect::DirTooBig)));
    dir.size = 5;
    assert_eq!(dir.find(b"a"), Err(Error::Defect(Defect::DirBlockShort)));
}

#[test]
fn lookup_returns_nid_and_type() {
    let dir = Dir::new(&[&[b"a"]]);
    let (image, inode) = dir.inode();
    let found = lookup(&dir, &image.super_block(), &inode, b"a");
    let expected = Found {
        nid: 0,
        file_type: FileType::Regular,
    };
    assert_eq!(found, Ok(Some(expected)));
}
