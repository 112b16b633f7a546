// SPDX-License-Identifier: GPL-2.0

//! Random bytes at every entry point. Any result is valid if it satisfies the function's own
//! guarantees.

use ondine_erofs::inode::check_fast_symlink;
use ondine_erofs::prefix::RECORD_MAX;
use ondine_erofs::{
    lookup, map, resolve, xattr, DeviceSlot, Devices, DirBlock, DirSource, Error, Inode,
    PrefixReader, SuperBlock, Target,
};
use proptest::prelude::*;

use crate::image::{Image, PAGE};

/// An image of random bytes with a valid superblock.
fn noise() -> impl Strategy<Value = Image> {
    let bytes = proptest::collection::vec(any::<u8>(), 8192);
    let word = prop_oneof![Just(0u32), Just(1), Just(2), any::<u32>()];
    (bytes, 9u8..=12, any::<[u8; 3]>(), word).prop_map(|(primary, bits, flags, word)| {
        let mut image = Image {
            metabox: primary.iter().rev().copied().collect(),
            packed: primary[..1000].to_vec(),
            primary,
        };
        let [compat, incompat, high] = flags;
        image
            .sb(0, &0xe0f5_e1e2u32.to_le_bytes())
            .compat(u32::from(compat & !0x21))
            .sb(12, &[bits, 1])
            .incompat(u32::from(incompat) | u32::from(high & 1) << 8)
            .sb(40, &(word & 3).to_le_bytes())
            .sb(44, &word.to_le_bytes())
            .sb(90, &[0])
            .sb(92, &(word & 0xfff).to_le_bytes())
            .sb(103, &[0])
            .sb(135, &[0]);
        image
    })
}

struct Blocks<'a>(&'a [u8], u32);

impl<'a> DirSource for Blocks<'a> {
    type Block = &'a [u8];
    type Error = ();

    fn block(&self, index: u32) -> Result<&'a [u8], Error<()>> {
        let start = (index % 4) as usize * self.1 as usize;
        Ok(&self.0[start % 4096..][..self.1 as usize])
    }
}

/// Makes random bytes more likely to parse as an inode.
fn tame(image: &mut Image, slot: usize, format: u8, kind: u8) {
    let at = slot * 32;
    let mode = [1u16, 2, 4, 6, 8, 10, 12][usize::from(kind % 7)] << 12;
    image.put(at, &[format & 0x1d, 0]);
    image.put(at + 3, &[0]);
    image.put(at + 4, &mode.to_le_bytes());
    image.put(at + 12, &[0; 4]);
    image.put(at + 17, &[0]);
}

fn look_at(image: &Image, sb: &SuperBlock, inode: &Inode, pos: u64, want: u64, name: &[u8]) {
    let slots = [slot_of(image, sb, 0), slot_of(image, sb, 128)];
    for pos in [0, pos, pos & 0xffff, inode.size.saturating_sub(1)] {
        let Ok(extent) = map(image, sb, inode, pos, want) else {
            continue;
        };
        assert!(extent.start <= pos && pos - extent.start < extent.len);
        let end = extent.start.checked_add(extent.len);
        match extent.target {
            Target::Hole => {}
            Target::Inline { offset, .. } => {
                assert_eq!(end, Some(inode.size));
                let block = u64::from(sb.block_size());
                assert_eq!(offset / block, (offset + extent.len - 1) / block);
            }
            Target::Mapped { device_id, addr } => {
                assert_eq!(extent.len % u64::from(sb.block_size()), 0);
                for devices in [Devices::Flat(&slots), Devices::Multi(&slots)] {
                    if let Ok(place) = resolve(sb, &devices, device_id, addr, extent.len) {
                        assert!(place.len != 0 && place.len <= extent.len);
                        assert!(place.device <= 2);
                    }
                }
            }
        }
    }
    if let Some((_, _, len)) = inode.fast_symlink(sb) {
        assert!(len < sb.block_size());
    }
    inode.rdev();
    inode.sectors(sb);
    let blocks = Blocks(&image.primary, sb.block_size());
    let _ = lookup(&blocks, sb, inode, name);
    let mut value = [0; 300];
    for index in [1, 2, 6] {
        let _ = xattr::get(image, sb, inode, &(), index, name, Some(&mut value));
    }
    let mut scratch = [0; xattr::SCRATCH];
    let _ = xattr::list(image, sb, inode, &(), &mut scratch, |_| Ok(()));
}

fn slot_of(image: &Image, sb: &SuperBlock, at: usize) -> DeviceSlot {
    let bytes: &[u8; 128] = image.primary[at..].first_chunk().unwrap();
    let slot = sb.device_slot(bytes);
    assert!(slot.tag().len() <= 64);
    slot
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn superblocks(
        mut page in proptest::collection::vec(any::<u8>(), 0..5000),
        magic: bool,
        page_size: u32,
    ) {
        if let (true, Some(at)) = (magic, page.get_mut(1024..1028)) {
            at.copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
        }
        let _ = SuperBlock::parse(&page, PAGE);
        let _ = SuperBlock::parse(&page, page_size);
        let _ = SuperBlock::parse(&page, page_size & 0xfff);
    }

    #[test]
    fn everything_behind_a_superblock(
        mut image in noise(),
        nid: u64,
        format: u8,
        kind: u8,
        pos: u64,
        want: u64,
        name in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let slot = 160 + usize::try_from(nid % 90).unwrap();
        tame(&mut image, slot, format, kind);
        let sb = image.super_block();
        sb.ino(nid);
        sb.label();
        let _ = sb.nid_location(nid);
        let _ = sb.device_slot_offset(nid as u16);
        let base = sb.nid_location(0).unwrap().1 / 32;
        for nid in [nid, nid & 0xff, nid & (0xff | 1 << 63), (slot as u64).wrapping_sub(base)] {
            if let Ok(inode) = Inode::read(&image, &sb, nid) {
                look_at(&image, &sb, &inode, pos, want, &name);
            }
        }
        let mut reader = PrefixReader::new(&sb);
        let mut buf = [0; RECORD_MAX];
        while let Ok(Some(_)) = reader.next(&image, &mut buf) {}
        let _ = check_fast_symlink(&name);
    }

    #[test]
    fn directory_blocks(
        mut block in proptest::collection::vec(any::<u8>(), 0..1024),
        count in 0u16..12,
        offset: u32,
    ) {
        if let Some(at) = block.get_mut(8..10) {
            at.copy_from_slice(&(count * 12).to_le_bytes());
        }
        if let Ok(block) = DirBlock::new(&block) {
            for entry in block.entries_from(0).flatten() {
                prop_assert!((1..=255).contains(&entry.name.len()));
                prop_assert_eq!(block.entry(entry.offset / 12), Ok(entry));
            }
            let _ = block.entry(offset);
            let _ = block.entries_from(offset).count();
        }
    }

    #[test]
    fn lookup_agrees_with_a_walk(
        names in proptest::collection::btree_set("[a-c.\u{e9}]{1,6}", 1..200),
        others in proptest::collection::vec("[a-c.\u{e9}]{1,6}", 20),
    ) {
        // Blocks of 512 bytes, filled in order; no name is cut.
        let mut bytes = Vec::new();
        let mut block: Vec<(u64, u8, &[u8])> = Vec::new();
        let mut used = 0;
        for (nid, name) in names.iter().enumerate() {
            if used + 12 + name.len() > 512 {
                bytes.extend(crate::image::dir_block(&block));
                bytes.resize(bytes.len().next_multiple_of(512), 0);
                block.clear();
                used = 0;
            }
            used += 12 + name.len();
            block.push((nid as u64, 1, name.as_bytes()));
        }
        bytes.extend(crate::image::dir_block(&block));
        let size = bytes.len() as u64;
        bytes.resize(bytes.len().next_multiple_of(512), 0);

        let mut image = Image::new(9, 8192);
        let node = crate::image::Node::new(0, crate::image::DIR, size);
        image.put(4096, &node.bytes());
        let inode = image.inode(128).unwrap();
        let sb = image.super_block();
        let dir = Whole(&bytes);
        for name in names.iter().chain(&others) {
            let found = lookup(&dir, &sb, &inode, name.as_bytes()).unwrap();
            let expected = names.iter().position(|n| n == name);
            prop_assert_eq!(found.map(|f| f.nid as usize), expected);
        }
    }
}

struct Whole<'a>(&'a [u8]);

impl<'a> DirSource for Whole<'a> {
    type Block = &'a [u8];
    type Error = ();

    fn block(&self, index: u32) -> Result<&'a [u8], Error<()>> {
        Ok(&self.0[index as usize * 512..][..512])
    }
}
