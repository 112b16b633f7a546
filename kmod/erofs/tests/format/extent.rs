// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::{map, Defect, Error, Extent, Space, Target};

use crate::image::{Image, Node, BIT4, CHUNKED, EXTENDED, INLINE, PLAIN, REG};

const BS: u64 = 4096;
const NID: u64 = 128;
/// Byte offset of the inode's body.
const AT: usize = 4096;

fn image(node: Node, behind: &[u8]) -> Image {
    let mut image = Image::new(12, 16384);
    let body = node.bytes();
    image.put(AT, &body);
    image.put(AT + body.len(), behind);
    image.incompat(8).sb(86, &2u16.to_le_bytes());
    image
}

fn at(image: &Image, pos: u64, want: u64) -> Result<Extent, Error<()>> {
    let inode = image.inode(NID).unwrap();
    map(image, &image.super_block(), &inode, pos, want)
}

fn hole(start: u64, len: u64) -> Result<Extent, Error<()>> {
    Ok(Extent {
        start,
        len,
        target: Target::Hole,
    })
}

fn mapped(start: u64, len: u64, device_id: u16, block: u64) -> Result<Extent, Error<()>> {
    let addr = block * BS;
    Ok(Extent {
        start,
        len,
        target: Target::Mapped { device_id, addr },
    })
}

fn refused(defect: Defect) -> Result<Extent, Error<()>> {
    Err(Error::Defect(defect))
}

fn plain(format: u16, size: u64, lo: u32, hi: u16) -> Image {
    let node = Node {
        u: lo,
        nb: hi,
        ..Node::new(format, REG, size)
    };
    image(node, &[])
}

#[test]
fn behind_the_end() {
    let file = plain(PLAIN, 5000, 7, 1);
    assert_eq!(at(&file, 5000, 1), hole(5000, 8192 - 5000));
    assert_eq!(at(&file, 8192, 0), hole(8192, 4096));
    assert_eq!(at(&file, u64::MAX, 9), hole(u64::MAX, 1));
    assert_eq!(at(&plain(PLAIN, 0, 7, 1), 0, 100), hole(0, 4096));
    assert_eq!(at(&plain(INLINE, 0, 7, 1), 0, 100), hole(0, 4096));
    assert_eq!(at(&plain(CHUNKED, 0, 0, 1), 0, 100), hole(0, 4096));
}

#[test]
fn plain_is_one_run() {
    for (size, len) in [(1, BS), (BS - 1, BS), (BS, BS), (BS + 1, 2 * BS)] {
        let file = plain(PLAIN, size, 7, 1);
        assert_eq!(at(&file, size - 1, 1), mapped(0, len, 0, 7));
    }
}

#[test]
fn all_ones_in_each_width_is_a_hole() {
    let ones = u32::MAX;
    let low = u64::from(ones);
    // Compact: 32 bits; the high ones are links.
    assert_eq!(at(&plain(PLAIN, 9, ones, 1), 0, 1), hole(0, BS));
    assert_eq!(
        at(&plain(PLAIN, 9, ones - 1, 1), 0, 1),
        mapped(0, BS, 0, low - 1)
    );
    // Compact with one link, and extended: 48 bits.
    for format in [BIT4, EXTENDED] {
        assert_eq!(at(&plain(format, 9, ones, 0xffff), 0, 1), hole(0, BS));
        assert_eq!(at(&plain(format, 9, ones, 0), 0, 1), mapped(0, BS, 0, low));
        let high = 0xfffe << 32 | low;
        assert_eq!(
            at(&plain(format, 9, ones, 0xfffe), 0, 1),
            mapped(0, BS, 0, high)
        );
    }
    // An inline file has no null start.
    assert_eq!(
        at(&plain(INLINE, BS + 1, ones, 1), 0, 1),
        mapped(0, BS, 0, low)
    );
}

#[test]
fn the_last_block_of_all() {
    let top = (1u64 << 48) - 2;
    let file = |size| plain(EXTENDED, size, top as u32, (top >> 32) as u16);
    assert_eq!(at(&file(BS), 0, 1), mapped(0, BS, 0, top));
    assert_eq!(at(&file(2 * BS), 0, 1), mapped(0, 2 * BS, 0, top));
    assert_eq!(
        at(&file(2 * BS + 1), 0, 1),
        refused(Defect::AddressOverflow)
    );
    let huge = plain(EXTENDED, i64::MAX as u64, 1, 0);
    assert_eq!(at(&huge, 0, 1), refused(Defect::AddressOverflow));
    let huge = plain(EXTENDED, i64::MAX as u64, u32::MAX, 0xffff);
    assert_eq!(at(&huge, 5, 1), hole(0, 1 << 63));
}

#[test]
fn inline_tails() {
    let tail = |size, behind: u64| {
        let full = (size - 1) / BS * BS;
        Ok(Extent {
            start: full,
            len: size - full,
            target: Target::Inline {
                space: Space::Primary,
                offset: AT as u64 + behind,
            },
        })
    };
    for size in [1, 4096 - 32] {
        assert_eq!(at(&plain(INLINE, size, 7, 1), size - 1, 1), tail(size, 32));
        let size = size + 3 * BS;
        let file = plain(INLINE, size, 7, 1);
        assert_eq!(at(&file, 3 * BS, 1), tail(size, 32));
        assert_eq!(at(&file, 3 * BS - 1, 1), mapped(0, 3 * BS, 0, 7));
    }
    for size in [4096 - 31, 4096] {
        let file = plain(INLINE, size, 7, 1);
        assert_eq!(at(&file, 0, 1), refused(Defect::InlineCrossesBlock));
        let file = plain(INLINE, size + BS, 7, 1);
        assert_eq!(at(&file, 0, 1), mapped(0, BS, 0, 7));
    }
}

#[test]
fn a_whole_block_fits_only_when_aligned() {
    let node = Node::new(INLINE, REG, BS);
    let mut image = Image::new(12, 16384);
    image.put(8192 - 32, &node.bytes());
    let inode = image.inode(255).unwrap();
    let extent = map(&image, &image.super_block(), &inode, 0, 1).unwrap();
    let offset = 8192;
    let space = Space::Primary;
    assert_eq!(extent.target, Target::Inline { space, offset });
    assert_eq!(extent.len, BS);
}

/// A chunked file with 4-byte records.
fn blocks(format: u32, size: u64, records: &[u32]) -> Image {
    let node = Node {
        u: format,
        ..Node::new(CHUNKED | EXTENDED, REG, size)
    };
    let bytes: Vec<u8> = records.iter().flat_map(|r| r.to_le_bytes()).collect();
    image(node, &bytes)
}

/// A chunked file with 8-byte records (device, block).
fn indexes(format: u32, size: u64, records: &[(u16, u64)]) -> Image {
    let node = Node {
        u: format | 0x20,
        ..Node::new(CHUNKED | EXTENDED, REG, size)
    };
    let bytes: Vec<u8> = records
        .iter()
        .flat_map(|(device, block)| {
            let hi = ((block >> 32) as u16).to_le_bytes();
            let lo = (*block as u32).to_le_bytes();
            [&hi[..], &device.to_le_bytes(), &lo].concat()
        })
        .collect();
    image(node, &bytes)
}

#[test]
fn chunks_merge_as_far_as_wanted() {
    let file = blocks(0, 6 * BS, &[5, 6, 7, 9, u32::MAX, u32::MAX]);
    assert_eq!(at(&file, 0, 1), mapped(0, BS, 0, 5));
    assert_eq!(at(&file, 0, BS + 1), mapped(0, 2 * BS, 0, 5));
    assert_eq!(at(&file, 100, u64::MAX), mapped(0, 3 * BS, 0, 5));
    assert_eq!(at(&file, BS, u64::MAX), mapped(BS, 2 * BS, 0, 6));
    assert_eq!(at(&file, 3 * BS, u64::MAX), mapped(3 * BS, BS, 0, 9));
    assert_eq!(at(&file, 4 * BS, u64::MAX), hole(4 * BS, 2 * BS));
    assert_eq!(at(&file, 5 * BS + 1, 1), hole(5 * BS, BS));
}

#[test]
fn big_chunks_end_with_the_file() {
    // Four blocks per chunk; the second has two blocks, the last one partial.
    let file = blocks(2, 5 * BS + 1, &[5, 9]);
    assert_eq!(at(&file, 0, 1), mapped(0, 4 * BS, 0, 5));
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, 6 * BS, 0, 5));
    assert_eq!(at(&file, 5 * BS, 1), mapped(4 * BS, 2 * BS, 0, 9));
    // The largest chunk size.
    let file = blocks(31, 5 * BS, &[5]);
    assert_eq!(at(&file, BS, 1), mapped(0, 5 * BS, 0, 5));
}

#[test]
fn records_are_read_in_batches() {
    let records: Vec<u32> = (100..1300).collect();
    let file = blocks(0, 1200 * BS, &records);
    assert_eq!(at(&file, 0, 64 * BS), mapped(0, 64 * BS, 0, 100));
    assert_eq!(at(&file, 0, 65 * BS), mapped(0, 65 * BS, 0, 100));
    // The batches of a call are limited; the next call continues.
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, 1024 * BS, 0, 100));
    assert_eq!(
        at(&file, 1024 * BS, u64::MAX),
        mapped(1024 * BS, 176 * BS, 0, 1124)
    );
}

#[test]
fn a_map_that_passes_the_end_of_the_image() {
    let node = Node::new(CHUNKED, REG, 3 * BS);
    let mut image = Image::new(12, 8192);
    image.put(8192 - 40, &[0; 40]);
    image.put(8192 - 64, &node.bytes());
    image.put(8192 - 32, &[1, 0, 0, 0, 2, 0, 0, 0]);
    image.primary.truncate(8192 - 24);
    let inode = image.inode(254).unwrap();
    let sb = image.super_block();
    // Existing blocks are returned; missing ones are a separate error.
    assert_eq!(map(&image, &sb, &inode, BS, 1), mapped(BS, BS, 0, 2));
    assert_eq!(
        map(&image, &sb, &inode, 2 * BS, 1),
        refused(Defect::OutsideImage)
    );
}

#[test]
fn the_map_is_aligned() {
    // 12 + 4 bytes of attributes leave 8-byte records at 64 + 16.
    let node = Node {
        icount: 1,
        u: 0x20,
        ..Node::new(CHUNKED | EXTENDED, REG, BS)
    };
    let mut behind = vec![0; 16];
    behind.extend([0, 0, 1, 0, 9, 0, 0, 0]);
    assert_eq!(at(&image(node, &behind), 0, 1), mapped(0, BS, 1, 9));
}

#[test]
fn index_records() {
    let file = indexes(0, 3 * BS, &[(1, 5), (1, 6), (2, 7)]);
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, 2 * BS, 1, 5));
    assert_eq!(at(&file, 2 * BS, 1), mapped(2 * BS, BS, 2, 7));
    // Two devices: the mask is 3, so 7 means 3 and 4 means 0.
    let file = indexes(0, 2 * BS, &[(7, 5), (4, 6)]);
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, BS, 3, 5));
    assert_eq!(at(&file, BS, 1), mapped(BS, BS, 0, 6));
}

#[test]
fn the_high_word_of_an_index_needs_its_bit() {
    let records = [(1, 3 << 32 | 5)];
    assert_eq!(at(&indexes(0, BS, &records), 0, 1), mapped(0, BS, 1, 5));
    let wide = indexes(0x40, BS, &records);
    assert_eq!(at(&wide, 0, 1), mapped(0, BS, 1, 3 << 32 | 5));

    let low = [(1, 0x1_ffff_ffff)];
    assert_eq!(at(&indexes(0, BS, &low), 0, 1), hole(0, BS));
    let wide = indexes(0x40, BS, &low);
    assert_eq!(at(&wide, 0, 1), mapped(0, BS, 1, 0x1_ffff_ffff));
    let all = [(1, 0xffff_ffff_ffff)];
    assert_eq!(at(&indexes(0x40, BS, &all), 0, 1), hole(0, BS));
}

#[test]
fn chunks_stay_below_the_cap() {
    let top = (1u64 << 48) - 2;
    // The second chunk of two blocks reaches the end; with three it passes it.
    let file = indexes(0x41, 4 * BS, &[(1, top - 2), (1, top)]);
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, 4 * BS, 1, top - 2));
    let file = indexes(0x42, 7 * BS, &[(1, top - 4), (1, top)]);
    assert_eq!(at(&file, 0, u64::MAX), mapped(0, 4 * BS, 1, top - 4));
    assert_eq!(at(&file, 4 * BS, 1), refused(Defect::AddressOverflow));
    // A run across 2^32 does not wrap.
    let file = blocks(0, 2 * BS, &[u32::MAX - 1, 0]);
    assert_eq!(
        at(&file, 0, u64::MAX),
        mapped(0, BS, 0, u64::from(u32::MAX) - 1)
    );
}
