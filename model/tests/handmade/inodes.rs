// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Inodes, links and devices (docs/spec/erofs-format.md sections 1, 4, 7 and 8).

use ondine_model::observation::{Kind, Text};
use ondine_model::read::{Inode, Result};
use ondine_model::strictness::Defect;

use crate::bytes::{row, Bytes, SUPERBLOCK};

const FILE: u16 = 0o100_644;
const LINK: u16 = 0o120_777;

fn load(change: impl FnOnce(&mut Bytes)) -> Result<Inode> {
    let mut image = Bytes::new(4);
    image.compact(8, 0, FILE, 0, 0);
    change(&mut image);
    image.inode(8).1
}

#[test]
fn the_checks_have_their_rows() {
    let format = |format: u16| {
        load(|image| {
            image.u16(Bytes::slot(8), format);
        })
    };
    assert_eq!(row(format(0x20)), Defect::InodeFormat);
    assert_eq!(row(format(0x8000)), Defect::InodeFormat);
    assert_eq!(row(format(5 << 1)), Defect::DataLayout);
    assert_eq!(row(format(7 << 1)), Defect::DataLayout);
    assert_eq!(row(format(1 << 1)), Defect::Compressed);
    assert_eq!(row(format(3 << 1)), Defect::Compressed);
    assert_eq!(
        row(load(|i| {
            i.compact(8, 0, 0o030_000, 0, 0);
        })),
        Defect::FileType
    );
    assert_eq!(
        row(load(|i| {
            i.extended(8, 0, FILE, 1 << 63, (0, 0));
        })),
        Defect::NegativeSize
    );
    for (size, is_sound) in [(1 << 43, true), ((1 << 43) + 1, false)] {
        let loaded = load(|i| {
            i.extended(8, 0, 0o040_755, size, (0, 0));
        });
        if is_sound {
            assert_eq!(loaded.expect("it loads").size, size);
        } else {
            assert_eq!(row(loaded), Defect::DirectorySize);
        }
    }
    assert_eq!(
        row(load(|i| {
            i.compact(8, 4, FILE, 1, 0x80);
        })),
        Defect::ChunkFormat
    );
    assert!(
        load(|i| {
            i.compact(8, 4, FILE, 1, 0xffff_007f);
        })
        .is_ok(),
        "the upper half is ignored"
    );
}

#[test]
fn a_nid_has_its_place() {
    let image = Bytes::new(4).open().expect("it mounts");
    assert_eq!(row(image.inode(1 << 63)), Defect::NidNeedsMetabox);
    assert_eq!(row(image.inode(1 << 59)), Defect::NidOverflow);
    assert_eq!(row(image.inode((1 << 59) - 128)), Defect::NidOverflow);
    assert_eq!(
        row(image.inode((1 << 59) - 129)),
        Defect::MetadataBeyondImage
    );
    // The last slot has room for a compact inode but not for an extended one.
    let last = 3 * 128 - 1;
    assert!(load(|i| {
        i.compact(last, 0, FILE, 0, 0);
    })
    .is_ok());
    let mut compact = Bytes::new(4);
    compact.compact(last, 0, FILE, 0, 0);
    assert!(compact.inode(last).1.is_ok());
    compact.u16(Bytes::slot(last), 1);
    assert_eq!(row(compact.inode(last).1), Defect::MetadataBeyondImage);
}

#[test]
fn an_extended_inode_may_cross_a_block() {
    let mut image = Bytes::new(4);
    image.directory(2, &[]);
    image.compact(1, 2, 0o040_755, 0, 0);
    image
        .extended(127, 0, FILE, 77, (1, 0))
        .u32(Bytes::slot(127) + 32, 5)
        .u32(Bytes::slot(127) + 40, 6);
    let inode = image.inode(127).1.expect("it loads");
    assert_eq!((inode.size, inode.mtime, inode.nlink), (77, (5, 6), 1));
}

#[test]
fn the_fields_of_a_compact_inode() {
    let inode = load(|image| {
        let at = Bytes::slot(8);
        image.u64(SUPERBLOCK + 24, 1000).u32(SUPERBLOCK + 32, 7);
        image
            .compact(8, 0, 0o104_751, 9, 2)
            .u16(at + 6, 3)
            .u32(at + 12, 23)
            .u16(at + 24, 11)
            .u16(at + 26, 12);
        image.u32(at + 20, 99).u32(at + 28, 99);
    });
    let inode = inode.expect("it loads");
    assert_eq!(
        (inode.kind, inode.mode, inode.nlink),
        (Kind::Regular, 0o4751, 3)
    );
    assert_eq!((inode.uid, inode.gid, inode.size), (11, 12, 9));
    assert_eq!(inode.mtime, (1023, 7));
    let single = load(|image| {
        image.u16(Bytes::slot(8), 0x10).u16(Bytes::slot(8) + 6, 40);
    });
    assert_eq!(
        single.expect("it loads").nlink,
        1,
        "i_nb then is no link count"
    );
}

#[test]
fn device_numbers_are_of_12_and_20_bits() {
    let device = |mode, value| {
        load(|i| {
            i.compact(8, 0, mode, 0, value);
        })
        .expect("it loads")
        .rdev
    };
    assert_eq!(device(0o020_600, 0x1111_0370), (259, 70_000));
    assert_eq!(device(0o060_600, 0xffff_ffff), (0xfff, 0xf_ffff));
    assert_eq!(device(0o010_600, 0xffff_ffff), (0, 0));
}

#[test]
fn an_invalid_id_is_shown_as_the_overflow_id() {
    let inode = load(|image| {
        image
            .extended(8, 0, FILE, 0, (0, 0))
            .u32(Bytes::slot(8) + 24, u32::MAX)
            .u32(Bytes::slot(8) + 28, 70_000);
    });
    let stat = inode.expect("it loads").stat();
    assert_eq!((stat.uid, stat.gid), (65534, 70_000));
}

#[test]
fn a_fast_link_is_checked_when_its_inode_loads() {
    let link = |target: &[u8]| {
        let mut image = Bytes::new(4);
        image
            .compact(8, 2, LINK, target.len() as u32, 0)
            .put(Bytes::slot(8) + 32, target);
        let (opened, inode) = image.inode(8);
        inode.and_then(|inode| opened.readlink(&inode))
    };
    assert_eq!(link(b"there").expect("a link"), Text::from("there"));
    assert_eq!(row(link(b"")), Defect::FastSymlink);
    assert_eq!(row(link(b"a\0b")), Defect::FastSymlink);
}

#[test]
fn a_slow_link_ends_at_a_nul_or_a_page() {
    let mut image = Bytes::new(6);
    image.compact(8, 0, LINK, 5, 3).put(3 * 4096, b"ab\0de");
    image
        .compact(9, 0, LINK, 5000, 4)
        .put(4 * 4096, &[b'x'; 8192]);
    image.compact(10, 0, LINK, 0, 4);
    let read = |nid| {
        let (opened, inode) = image.inode(nid);
        opened
            .readlink(&inode.expect("it loads"))
            .expect("it reads")
            .0
    };
    assert_eq!(read(8), b"ab");
    assert_eq!(read(9), [b'x'; 4095]);
    assert_eq!(read(10), b"");
}

#[test]
fn the_metabox_holds_inodes_and_nothing_past_its_end() {
    let mut image = Bytes::new(5);
    image.0[SUPERBLOCK + 81] = 1;
    image.0[SUPERBLOCK + 13] = 1;
    image.u64(SUPERBLOCK + 128, 8);
    // The metabox has 64 bytes in block 3; slot 1 of it is a file.
    image.compact(8, 0, FILE, 64, 3).compact(20, 2, FILE, 4, 0);
    let slot = image.0[Bytes::slot(20)..Bytes::slot(20) + 32].to_vec();
    image.put(3 * 4096 + 32, &slot).put(4 * 4096, b"no");
    let opened = image.open().expect("it mounts");
    let inode = opened.inode(1 << 63 | 1).expect("it loads");
    assert_eq!((inode.size, inode.place.at), (4, 32));
    assert_eq!(
        row(crate::bytes::read(&opened, &inode)),
        Defect::MetadataBeyondMetabox
    );
    assert_eq!(
        row(opened.inode(1 << 63 | 2)),
        Defect::MetadataBeyondMetabox
    );
    image
        .u32(Bytes::slot(8) + 8, 68)
        .put(3 * 4096 + 64, b"tail");
    let opened = image.open().expect("it mounts");
    let inode = opened.inode(1 << 63 | 1).expect("it loads");
    assert_eq!(
        crate::bytes::read(&opened, &inode).expect("it reads"),
        b"tail"
    );
}

#[test]
fn of_the_metabox_whole_pages_are_read() {
    let mut image = Bytes::new(4);
    image.0[SUPERBLOCK + 81] = 1;
    image.0[SUPERBLOCK + 13] = 1;
    image.u64(SUPERBLOCK + 128, 8);
    // Two blocks: the first is the image's last, the second lies beyond its end.
    image.compact(8, 0, FILE, 4096 + 32, 3);
    let slot = image.0[Bytes::slot(8)..Bytes::slot(8) + 32].to_vec();
    image.put(3 * 4096, &slot);
    let opened = image.open().expect("it mounts");
    assert!(opened.inode(1 << 63).is_ok());
    assert_eq!(row(opened.inode(1 << 63 | 128)), Defect::DataBeyondDevice);
    // Truncated at byte 64 of the first block: its first inode exists, but its page is incomplete.
    image.0.truncate(3 * 4096 + 64);
    let opened = image.open().expect("it mounts");
    assert_eq!(row(opened.inode(1 << 63)), Defect::DataBeyondDevice);
}
