// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Data layouts and devices (docs/spec/erofs-format.md sections 3 and 5).

use ondine_model::observation::Span;
use ondine_model::strictness::Defect;

use crate::bytes::{read, row, Bytes, BLOCK, SUPERBLOCK};

const FILE: u16 = 0o100_644;
const INDEXES: u32 = 0x20;
const LARGE: u32 = 0x40;

fn filled(blocks: usize) -> Bytes {
    let mut image = Bytes::new(blocks);
    for block in 3..blocks {
        image.0[block * BLOCK..(block + 1) * BLOCK].fill(block as u8);
    }
    image
}

#[test]
fn a_missing_inline_tail_cannot_be_mapped() {
    let mut image = Bytes::new(4);
    image.extended(126, 2, FILE, 40, (0, 0));
    let (opened, inode) = image.inode(126);
    let inode = inode.expect("it loads");
    assert_eq!(opened.spans(&inode).expect("it is there").len(), 1);
    image.0.truncate(2 * BLOCK + 39);
    let opened = image.open().expect("it mounts");
    assert_eq!(row(opened.spans(&inode)), Defect::MetadataBeyondImage);
}

#[test]
fn a_null_start_is_a_hole_by_its_own_width() {
    let mut image = filled(4);
    image.compact(8, 0, FILE, 10, u32::MAX);
    image.extended(10, 0, FILE, 10, (u32::MAX, u16::MAX));
    image.extended(12, 0, FILE, 10, (u32::MAX, 0));
    image
        .compact(14, 0, FILE, 10, u32::MAX)
        .u16(Bytes::slot(14), 0x10)
        .u16(Bytes::slot(14) + 6, 0);
    assert_eq!(image.content(8).expect("a hole"), [0; 10]);
    assert_eq!(image.content(10).expect("a hole"), [0; 10]);
    assert_eq!(row(image.content(12)), Defect::DataBeyondDevice);
    assert_eq!(row(image.content(14)), Defect::DataBeyondDevice);
    let (opened, inode) = image.inode(10);
    assert_eq!(opened.spans(&inode.expect("it loads")).expect("mapped"), []);
}

#[test]
fn addresses_end_at_block_2_to_the_48() {
    let mut image = filled(4);
    image.extended(8, 0, FILE, 4096, (u32::MAX - 1, u16::MAX));
    image.extended(10, 0, FILE, 8193, (u32::MAX - 1, u16::MAX));
    assert_eq!(row(image.content(8)), Defect::DataBeyondDevice);
    assert_eq!(row(image.content(10)), Defect::AddressOverflow);
    // An inline file has only the blocks before its tail.
    image
        .extended(12, 2, FILE, 3, (u32::MAX, u16::MAX))
        .put(Bytes::slot(12) + 64, b"abc");
    assert_eq!(image.content(12).expect("inline"), b"abc");
}

#[test]
fn a_file_ends_with_its_last_byte() {
    let mut image = filled(5);
    image.compact(8, 0, FILE, 4097, 3);
    assert_eq!(image.content(8).expect("whole")[4096], 4);
    // The rest of the last block may be missing, the byte itself may not.
    image.0.truncate(4 * BLOCK + 1);
    assert_eq!(image.content(8).expect("the byte is there")[4096], 4);
    image.0.truncate(4 * BLOCK);
    assert_eq!(row(image.content(8)), Defect::DataBeyondDevice);
}

#[test]
fn an_inline_tail_stays_in_its_block() {
    let mut image = filled(5);
    let end = Bytes::slot(100) + 32;
    let room = (2 * BLOCK - end) as u32;
    image
        .compact(100, 2, FILE, 4096 + room, 3)
        .put(end, &vec![0x77; room as usize]);
    let content = image.content(100).expect("it fits");
    assert_eq!(
        (content[4095], content[4096], content.len()),
        (3, 0x77, 4096 + room as usize)
    );
    image.compact(100, 2, FILE, 4097 + room, 3);
    let (opened, inode) = image.inode(100);
    let inode = inode.expect("it still loads");
    assert_eq!(row(read(&opened, &inode)), Defect::InlineTail);
    assert_eq!(row(opened.spans(&inode)), Defect::InlineTail);
    let mut first = [0; 4096];
    opened
        .read(&inode, 0, &mut first)
        .expect("the blocks before the tail are sound");
    // A tail of a whole block needs a base at a block's start.
    image
        .put(Bytes::slot(127), &[0; 32])
        .compact(127, 2, FILE, 4096, 0);
    assert_eq!(image.content(127).expect("aligned").len(), 4096);
}

#[test]
fn a_block_map_has_holes_and_shared_blocks() {
    let mut image = filled(6);
    let map = Bytes::slot(8) + 32;
    image.compact(8, 4, FILE, 3 * 4096 + 5, 0);
    image
        .u32(map, 4)
        .u32(map + 4, u32::MAX)
        .u32(map + 8, 4)
        .u32(map + 12, 5);
    let content = image.content(8).expect("it reads");
    let at = |k: usize| content[k * 4096];
    assert_eq!([at(0), at(1), at(2), at(3)], [4, 0, 4, 5]);
    let (opened, inode) = image.inode(8);
    let spans = opened.spans(&inode.expect("it loads")).expect("mapped");
    let span = |start, end| Span { start, end };
    assert_eq!(spans, [span(0, 4096), span(8192, 12_293)]);
}

#[test]
fn indexes_know_wide_and_narrow_blocks() {
    let mut image = filled(6);
    let map = Bytes::slot(8) + 32;
    // The high half is valid only with its flag; without a device table every device id is 0.
    image.u16(map, 1).u16(map + 2, 9).u32(map + 4, 4);
    image.compact(8, 4, FILE, 1, INDEXES);
    assert_eq!(image.content(8).expect("narrow"), [4]);
    image.compact(8, 4, FILE, 1, INDEXES | LARGE);
    assert_eq!(row(image.content(8)), Defect::DataBeyondDevice);
    image.u16(map, u16::MAX).u32(map + 4, u32::MAX);
    assert_eq!(image.content(8).expect("a hole"), [0]);
    image.u16(map, 0);
    assert_eq!(row(image.content(8)), Defect::DataBeyondDevice);
    image.compact(8, 4, FILE, 1, INDEXES);
    assert_eq!(image.content(8).expect("a hole"), [0]);
    image
        .compact(8, 4, FILE, 8193, INDEXES | LARGE | 2)
        .u16(map, u16::MAX)
        .u32(map + 4, u32::MAX - 1);
    assert_eq!(row(image.content(8)), Defect::AddressOverflow);
}

#[test]
fn an_index_is_aligned_after_the_attributes() {
    let mut image = filled(6);
    // 12 bytes of attributes would put the map at 44; it is aligned to 48.
    image
        .compact(8, 4, FILE, 1, INDEXES)
        .u16(Bytes::slot(8) + 2, 2)
        .u32(Bytes::slot(8) + 52, 5);
    assert_eq!(image.content(8).expect("it reads"), [5]);
}

#[test]
fn a_map_beyond_the_image_is_met_when_it_is_read() {
    let mut image = filled(4);
    let last = 3 * 128 - 1;
    image.compact(last, 4, FILE, 1, 0);
    let (opened, inode) = image.inode(last);
    let inode = inode.expect("the inode itself is there");
    assert_eq!(row(read(&opened, &inode)), Defect::MetadataBeyondImage);
}

/// Two slots at block 3, whose blobs have 2 blocks each at unified blocks 100 and 102.
fn two_slots() -> (Bytes, [Bytes; 2]) {
    let mut image = Bytes::new(4);
    image.0[SUPERBLOCK + 80] = 8;
    image
        .u16(SUPERBLOCK + 86, 2)
        .u16(SUPERBLOCK + 88, (3 * BLOCK / 128) as u16);
    for (k, unified) in [(0, 100), (1, 102)] {
        let slot = 3 * BLOCK + 128 * k;
        image
            .put(slot, &[b'a' + k as u8; 64])
            .u32(slot + 64, 2)
            .u32(slot + 68, unified);
    }
    let blob = |byte: u8| Bytes([vec![byte; BLOCK], vec![byte + 1; BLOCK]].concat());
    let map = Bytes::slot(8) + 32;
    image.compact(8, 4, FILE, 2 * 4096, INDEXES);
    image
        .u16(map + 2, 2)
        .u32(map + 4, 1)
        .u16(map + 10, 1)
        .u32(map + 12, 0);
    (image, [blob(0x10), blob(0x20)])
}

#[test]
fn a_chunk_is_on_the_device_that_it_names() {
    let (image, [first, second]) = two_slots();
    let opened = image.open_with(&[&first, &second]).expect("it mounts");
    assert_eq!(opened.devices().slots[1].tag.as_bytes(), [b'b'; 64]);
    let inode = opened.inode(8).expect("it loads");
    let content = read(&opened, &inode).expect("it reads");
    assert_eq!((content[0], content[4096]), (0x21, 0x10));
    assert_eq!(row(image.open_with(&[&first])), Defect::DeviceCount);
    assert_eq!(row(Bytes::new(4).open_with(&[&first])), Defect::DeviceCount);
}

#[test]
fn flat_mode_and_device_0_use_unified_addresses() {
    let (mut image, [first, second]) = two_slots();
    let mut flat = image.clone();
    flat.0.resize(100 * BLOCK, 0);
    flat.0.extend_from_slice(&first.0);
    flat.0.extend_from_slice(&second.0);
    let content = flat.content(8).expect("it reads");
    assert_eq!((content[0], content[4096]), (0x21, 0x10));
    // A plain file at block 103 is on the second blob.
    image.compact(10, 0, FILE, 1, 103);
    let opened = image.open_with(&[&first, &second]).expect("it mounts");
    assert_eq!(
        read(&opened, &opened.inode(10).expect("it loads")).expect("it reads"),
        [0x21]
    );
    // Only the start is translated: this run exceeds the end of its blob.
    image.compact(10, 0, FILE, 4097, 103);
    let opened = image.open_with(&[&first, &second]).expect("it mounts");
    assert_eq!(
        row(read(&opened, &opened.inode(10).expect("it loads"))),
        Defect::DataBeyondDevice
    );
}

#[test]
fn a_device_id_is_masked_and_then_must_exist() {
    let (mut image, [first, second]) = two_slots();
    let map = Bytes::slot(8) + 32;
    let mut with = |id: u16| {
        image.u16(map + 2, id);
        let opened = image.open_with(&[&first, &second]).expect("it mounts");
        read(&opened, &opened.inode(8).expect("it loads")).map(|content| content[0])
    };
    assert_eq!(with(0xff02).expect("masked to 2"), 0x21);
    assert_eq!(row(with(3)), Defect::UnknownDevice);
    assert_eq!(row(with(7)), Defect::UnknownDevice);
}

#[test]
fn the_device_table_must_be_in_the_image() {
    let (mut image, _) = two_slots();
    image.u16(SUPERBLOCK + 88, (4 * BLOCK / 128) as u16 - 1);
    assert_eq!(row(image.open()), Defect::DeviceTableBeyondImage);
}
