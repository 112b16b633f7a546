// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::inode::check_fast_symlink;
use ondine_erofs::{Defect, Error, Inode, Layout, Space};

use crate::image::{Image, Node, BIT4, CHUNKED, DIR, EXTENDED, INLINE, LNK, PLAIN, REG};

/// Nid 128 is at byte 4096 of an image with 4 KiB blocks.
const NID: u64 = 128;

fn with(node: Node) -> Result<Inode, Error<()>> {
    let mut image = Image::new(12, 12288);
    image.sb(24, &1000i64.to_le_bytes());
    image.sb(32, &77u32.to_le_bytes());
    image.put(4096, &node.bytes());
    image.inode(NID)
}

fn refused(node: Node, defect: Defect) {
    assert_eq!(with(node), Err(Error::Defect(defect)));
}

#[test]
fn it_is_small() {
    assert!(core::mem::size_of::<Inode>() <= 64);
}

#[test]
fn compact_fields() {
    let node = Node {
        nb: 3,
        mtime: 5,
        uid: 0xfffe,
        gid: 0xfffd,
        ..Node::new(PLAIN, REG, 0xffff_ffff)
    };
    let inode = with(node).unwrap();
    assert_eq!((inode.nid, inode.mode, inode.size), (NID, REG, 0xffff_ffff));
    assert_eq!((inode.mtime, inode.mtime_nsec), (1005, 77));
    assert_eq!((inode.uid, inode.gid, inode.nlink), (0xfffe, 0xfffd, 3));
    assert_eq!(
        (inode.layout, inode.dot_omitted),
        (Layout::FlatPlain, false)
    );
    assert!(inode.is_regular() && !inode.is_dir() && !inode.is_symlink());
    assert_eq!(inode.space(), Space::Primary);
}

#[test]
fn extended_fields() {
    let node = Node {
        nb: 9,
        mtime: -7,
        nsec: 2_000_000_000,
        uid: u32::MAX,
        gid: 70_000,
        nlink: 0,
        ..Node::new(EXTENDED | INLINE, DIR, 1 << 43)
    };
    let inode = with(node).unwrap();
    assert_eq!(inode.size, 1 << 43);
    assert_eq!((inode.mtime, inode.mtime_nsec), (-7, 2_000_000_000));
    assert_eq!((inode.uid, inode.gid, inode.nlink), (u32::MAX, 70_000, 0));
    assert_eq!(inode.layout, Layout::FlatInline);
    assert!(inode.is_dir());
}

#[test]
fn bit_4() {
    let one = Node {
        nb: 500,
        ..Node::new(BIT4, REG, 0)
    };
    assert_eq!(with(one).unwrap().nlink, 1);
    let dir = Node { mode: DIR, ..one };
    let dir = with(dir).unwrap();
    assert_eq!((dir.nlink, dir.dot_omitted), (500, true));
    let extended = Node {
        nlink: 6,
        ..Node::new(EXTENDED | BIT4, REG, 0)
    };
    let extended = with(extended).unwrap();
    assert_eq!((extended.nlink, extended.dot_omitted), (6, false));
}

#[test]
fn the_epoch_wraps() {
    let mut image = Image::new(12, 8192);
    image.sb(24, &i64::MAX.to_le_bytes());
    let node = Node {
        mtime: 1,
        ..Node::new(PLAIN, REG, 0)
    };
    image.put(4096, &node.bytes());
    assert_eq!(image.inode(NID).unwrap().mtime, i64::MIN);
}

#[test]
fn formats() {
    for bit in 5..16 {
        refused(Node::new(1 << bit, REG, 0), Defect::InodeFormat);
    }
    for layout in 5..8 {
        refused(Node::new(layout << 1, REG, 0), Defect::InodeLayout);
    }
    for layout in [1, 3] {
        refused(Node::new(layout << 1, REG, 0), Defect::Compressed);
        refused(Node::new(layout << 1, 0, 0), Defect::InodeType);
    }
}

#[test]
fn sizes() {
    for size in [1 << 63, u64::MAX] {
        refused(Node::new(EXTENDED, REG, size), Defect::NegativeSize);
    }
    let file = with(Node::new(EXTENDED, REG, i64::MAX as u64));
    assert_eq!(file.unwrap().size, i64::MAX as u64);
}

#[test]
fn a_directory_has_2_to_the_31_blocks_at_most() {
    for layout in [PLAIN, INLINE, CHUNKED] {
        let directory = |size| Node::new(EXTENDED | layout, DIR, size);
        assert!(with(directory(0)).is_ok());
        assert!(with(directory(1 << 43)).is_ok());
        refused(directory((1 << 43) + 1), Defect::DirTooBig);
        refused(directory(i64::MAX as u64), Defect::DirTooBig);
    }
    let mut image = Image::new(9, 12288);
    for (size, is_sound) in [(1 << 40, true), ((1 << 40) + 1, false)] {
        image.put(4096, &Node::new(EXTENDED, DIR, size).bytes());
        assert_eq!(image.inode(NID).is_ok(), is_sound, "{size:#x}");
    }
}

#[test]
fn types() {
    for kind in 0..16u16 {
        let node = Node::new(PLAIN, kind << 12 | 0o7777, 0);
        if [1, 2, 4, 6, 8, 10, 12].contains(&kind) {
            assert_eq!(with(node).unwrap().mode, kind << 12 | 0o7777);
        } else {
            refused(node, Defect::InodeType);
        }
    }
}

#[test]
fn chunk_formats() {
    for bit in 0..32 {
        let node = Node {
            u: 1 << bit,
            ..Node::new(CHUNKED, REG, 0)
        };
        if (7..16).contains(&bit) {
            refused(node, Defect::ChunkFormat);
        } else {
            assert_eq!(with(node).unwrap().layout, Layout::ChunkBased);
        }
    }
}

#[test]
fn devices() {
    for (mode, rdev) in [
        (0o020_600, (0x123, 0x45678)),
        (0o060_600, (0x123, 0x45678)),
        (0o010_600, (0, 0)),
        (0o140_600, (0, 0)),
        (REG, (0, 0)),
    ] {
        let node = Node {
            u: 0x4561_2378,
            ..Node::new(PLAIN, mode, 0)
        };
        assert_eq!(with(node).unwrap().rdev(), rdev);
    }
}

#[test]
fn sectors_round_up() {
    let sb = Image::new(12, 8192).super_block();
    for (size, sectors) in [(0, 0), (1, 8), (4096, 8), (4097, 16)] {
        let inode = with(Node::new(PLAIN, REG, size)).unwrap();
        assert_eq!(inode.sectors(&sb), sectors);
    }
    let huge = with(Node::new(EXTENDED, REG, i64::MAX as u64)).unwrap();
    assert_eq!(huge.sectors(&sb), 1 << 54);
}

#[test]
fn the_end_of_the_image() {
    let mut image = Image::new(12, 4096 + 32);
    image.put(4096, &Node::new(PLAIN, REG, 0).bytes());
    assert!(image.inode(NID).is_ok());
    image.put(4096, &[EXTENDED as u8]);
    let outside = Err(Error::Defect(Defect::OutsideImage));
    assert_eq!(image.inode(NID), outside);
    assert_eq!(image.inode(NID + 1), outside);
    // Unknown formats are rejected before the second half is read.
    image.put(4096 + 1, &[1]);
    let format = Err(Error::Defect(Defect::InodeFormat));
    assert_eq!(image.inode(NID), format);
    let overflow = Err(Error::Defect(Defect::NidOverflow));
    assert_eq!(image.inode(1 << 59), overflow);
}

#[test]
fn straddles_a_block() {
    let mut image = Image::new(9, 8192);
    let node = Node::new(EXTENDED, REG, 123);
    image.put(4096 + 512 - 32, &node.bytes());
    assert_eq!(image.inode(NID + 15).unwrap().size, 123);
}

#[test]
fn in_the_metabox() {
    let mut image = Image::new(12, 8192);
    let node = Node::new(PLAIN, REG, 5);
    image.metabox = [vec![0; 32], node.bytes()].concat();
    let nid = 1 << 63 | 1;
    assert_eq!(image.inode(nid), Err(Error::Defect(Defect::NoMetabox)));
    image.incompat(0x100).sb(13, &[1]);
    let inode = image.inode(nid).unwrap();
    assert_eq!((inode.size, inode.space()), (5, Space::Metabox));
}

#[test]
fn fast_links_end_in_their_block() {
    for (format, in_block, size, fast) in [
        (INLINE, 0, 4096 - 32, true),
        (INLINE, 0, 4096 - 31, false),
        (INLINE | EXTENDED, 0, 4096 - 64, true),
        (INLINE | EXTENDED, 0, 4096 - 63, false),
        // The body ends exactly at the end of a block.
        (INLINE, 4096 - 32, 1, false),
        (INLINE, 4096 - 32, 0, true),
        // An extended body that crosses a block boundary is counted in the second block.
        (INLINE | EXTENDED, 4096 - 32, 4096 - 32, true),
        (INLINE | EXTENDED, 4096 - 32, 4096 - 31, false),
        (PLAIN, 0, 10, false),
        (INLINE, 0, 0, true),
    ] {
        let mut image = Image::new(12, 16384);
        image.put(4096 + in_block, &Node::new(format, LNK, size).bytes());
        let nid = NID + in_block as u64 / 32;
        let inode = image.inode(nid).unwrap();
        let body = if format & EXTENDED == 0 { 32 } else { 64 };
        let at = (Space::Primary, 4096 + in_block as u64 + body, size as u32);
        assert_eq!(
            inode.fast_symlink(&image.super_block()),
            fast.then_some(at),
            "{format} {in_block} {size}"
        );
    }
    let sb = Image::new(12, 8192).super_block();
    let file = with(Node::new(INLINE, REG, 5)).unwrap();
    assert_eq!(file.fast_symlink(&sb), None);
}

#[test]
fn attributes_come_before_a_fast_target() {
    let node = Node {
        icount: 2,
        ..Node::new(INLINE, LNK, 4096 - 32 - 16)
    };
    let sb = Image::new(12, 8192).super_block();
    let fast = with(node).unwrap().fast_symlink(&sb);
    assert_eq!(fast, Some((Space::Primary, 4096 + 48, 4096 - 48)));
    let slow = Node {
        size: node.size + 1,
        ..node
    };
    assert_eq!(with(slow).unwrap().fast_symlink(&sb), None);
}

#[test]
fn targets() {
    assert_eq!(check_fast_symlink(b"a"), Ok(()));
    assert_eq!(check_fast_symlink(b""), Err(Defect::EmptySymlink));
    assert_eq!(check_fast_symlink(b"a\0"), Err(Defect::SymlinkNul));
}
