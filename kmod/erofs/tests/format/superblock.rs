// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::{Defect, Errno, Space, SuperBlock};

use crate::image::{Image, PAGE};

fn image() -> Image {
    Image::new(12, 8192)
}

#[test]
fn the_smallest_superblock() {
    let sb = image().super_block();
    assert_eq!(sb.block_size(), 4096);
    assert_eq!(sb.root_nid(), 0);
    assert_eq!(sb.packed_nid(), None);
    assert_eq!(sb.metabox_nid(), None);
    assert_eq!(sb.uuid(), None);
    assert_eq!(sb.label(), b"");
    assert_eq!(sb.extra_devices(), 0);
    assert_eq!(sb.prefix_location(), None);
    assert_eq!(sb.size(), 128);
}

#[test]
fn a_short_image() {
    let mut image = image();
    for len in [0, 1023, 1024, 1151] {
        let short = SuperBlock::parse(&image.primary[..len], PAGE);
        assert_eq!(short, Err(Defect::ImageTooShort));
    }
    assert!(SuperBlock::parse(&image.primary[..1168], PAGE).is_ok());
    image.compat(1);
    let short = SuperBlock::parse(&image.primary[..4095], PAGE);
    assert_eq!(short, Err(Defect::ImageTooShort));
}

#[test]
fn magic() {
    let mut image = image();
    image.sb(3, &[0]);
    assert_eq!(image.parse(), Err(Defect::BadMagic));
}

#[test]
fn block_sizes() {
    for bits in 0..=255 {
        let ok = Image::new(bits, 8192).parse();
        if (9..=12).contains(&bits) {
            assert_eq!(ok.map(|sb| sb.block_bits()), Ok(u32::from(bits)));
        } else {
            assert_eq!(ok, Err(Defect::BlockSize));
        }
    }
    let wide = Image::new(16, 65536);
    assert!(SuperBlock::parse(&wide.primary, 65536).is_ok());
}

#[test]
fn directory_block_bits() {
    let mut image = image();
    image.sb(90, &[1]);
    assert_eq!(image.parse(), Err(Defect::DirBlockSize));
}

/// An independent CRC-32C, so that the test does not rely on that of the crate.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0u32, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |s, _| {
            if s & 1 == 1 {
                (s >> 1) ^ 0x82f6_3b78
            } else {
                s >> 1
            }
        })
    })
}

#[test]
fn checksum_covers_its_block() {
    for (bits, covered) in [(9u8, 504usize), (10, 1016), (11, 1016), (12, 3064)] {
        let mut image = Image::new(bits, 8192);
        image.compat(1);
        image.put(1032 + covered - 1, &[7]);
        let sum = crc(&image.primary[1024..1032 + covered]);
        image.sb(4, &sum.to_le_bytes());
        assert!(image.parse().is_ok(), "bits {bits}");

        if 1032 + covered < 4096 {
            image.put(1032 + covered, &[1]);
            assert!(image.parse().is_ok(), "bits {bits}: byte after the block");
        }
        image.put(1032 + covered - 1, &[8]);
        assert_eq!(image.parse(), Err(Defect::SuperChecksum), "bits {bits}");
        image.compat(0);
        assert!(image.parse().is_ok(), "bits {bits}: checksum not declared");
    }
}

#[test]
fn unknown_features_are_refused_one_by_one() {
    for bit in 0..32 {
        let mut image = image();
        image.incompat(1 << bit).sb(13, &[1]);
        if bit < 9 {
            assert!(image.parse().is_ok(), "bit {bit}");
        } else {
            assert_eq!(image.parse(), Err(Defect::UnknownFeature), "bit {bit}");
        }
        let mut image = self::image();
        image.compat(1 << bit).sb(91, &[1]);
        // Bit 0 requests a checksum, which is missing.
        assert_eq!(image.parse().is_ok(), bit != 0, "bit {bit}");
    }
}

#[test]
fn length_of_the_superblock() {
    let mut image = image();
    image.sb(13, &[184]);
    assert_eq!(image.super_block().size(), 3072);
    image.sb(13, &[185]);
    assert_eq!(image.parse(), Err(Defect::SuperTooLong));
}

#[test]
fn share_prefix_is_in_the_table() {
    let mut image = image();
    image.compat(0x20).sb(91, &[3]).sb(105, &[2]);
    assert_eq!(image.super_block().share_prefix(), Some(2));
    image.sb(105, &[3]);
    assert_eq!(image.parse(), Err(Defect::SharePrefix));
    image.compat(0);
    assert_eq!(image.super_block().share_prefix(), None);
}

#[test]
fn metabox() {
    let mut image = image();
    image.incompat(0x100);
    assert_eq!(image.parse(), Err(Defect::MetaboxNoSlot));
    image.sb(13, &[1]).sb(128, &5u64.to_le_bytes());
    assert_eq!(image.super_block().metabox_nid(), Some(5));
    image.sb(135, &[0x80]);
    assert_eq!(image.parse(), Err(Defect::MetaboxNested));
}

#[test]
fn packed_inode() {
    let mut image = image();
    image.sb(96, &7u64.to_le_bytes());
    assert_eq!(image.super_block().packed_nid(), None);
    image.incompat(0x20);
    assert_eq!(image.super_block().packed_nid(), Some(7));
    image.sb(103, &[0x80]);
    assert_eq!(image.parse(), Err(Defect::PackedInMetabox));
    image.sb(96, &[0; 8]);
    assert_eq!(image.super_block().packed_nid(), None);
}

#[test]
fn root_and_blocks_share_bytes() {
    let mut image = image();
    image.sb(14, &[0x34, 0x12]).sb(36, &9u32.to_le_bytes());
    let narrow = image.super_block();
    assert_eq!((narrow.root_nid(), narrow.blocks()), (0x1234, 9));

    image.incompat(0x80);
    let no_root = image.super_block();
    assert_eq!((no_root.root_nid(), no_root.blocks()), (0x1234, 9));

    image.sb(112, &(1u64 << 40).to_le_bytes());
    let wide = image.super_block();
    assert_eq!(
        (wide.root_nid(), wide.blocks()),
        (1 << 40, 9 | 0x1234 << 32)
    );

    image.incompat(0);
    assert_eq!(image.super_block().root_nid(), 0x1234);
}

#[test]
fn names_and_times() {
    let mut image = image();
    image
        .sb(24, &(-5i64).to_le_bytes())
        .sb(32, &u32::MAX.to_le_bytes())
        .sb(48, &[1; 16])
        .sb(64, b"0123456789abcdef");
    let sb = image.super_block();
    assert_eq!((sb.epoch(), sb.fixed_nsec()), (-5, u32::MAX));
    assert_eq!(sb.uuid(), Some(&[1; 16]));
    assert_eq!(sb.label(), b"0123456789abcdef");
    image.sb(67, &[0]);
    assert_eq!(image.super_block().label(), b"012");
}

#[test]
fn nid_to_offset() {
    let mut image = image();
    image.sb(40, &2u32.to_le_bytes());
    let sb = image.super_block();
    assert_eq!(sb.nid_location(0), Ok((Space::Primary, 8192)));
    assert_eq!(sb.nid_location(3), Ok((Space::Primary, 8288)));
    let last = (1 << 59) - 257;
    let place = (Space::Primary, u64::MAX - 31);
    assert_eq!(sb.nid_location(last), Ok(place));
    for nid in [last + 1, 1 << 59, 3 << 60] {
        assert_eq!(sb.nid_location(nid), Err(Defect::NidOverflow), "{nid:#x}");
    }
    for nid in [1 << 63, u64::MAX] {
        assert_eq!(sb.nid_location(nid), Err(Defect::NoMetabox), "{nid:#x}");
    }

    image.incompat(0x100).sb(13, &[1]);
    let sb = image.super_block();
    assert_eq!(sb.nid_location(1 << 63 | 3), Ok((Space::Metabox, 96)));
    assert_eq!(sb.nid_location(u64::MAX), Err(Defect::NidOverflow));
}

#[test]
fn inode_numbers() {
    let mut image = image();
    assert_eq!(image.super_block().ino(u64::MAX - 9), u64::MAX - 9);
    image.incompat(0x100).sb(13, &[1]);
    let sb = image.super_block();
    assert_eq!(sb.ino(5), 5);
    assert_eq!(sb.ino(1 << 63 | 5), 1 << 31 | 5);
    assert_eq!(sb.ino(1 << 31), 1 << 32);
    assert_eq!(sb.ino(0x7fff_ffff), 0x7fff_ffff);
}

#[test]
fn device_ids() {
    let mut image = image();
    image.sb(86, &3u16.to_le_bytes()).sb(88, &[2, 0]);
    assert_eq!(image.super_block().extra_devices(), 0);
    for (count, mask) in [
        (0u16, 0u16),
        (1, 1),
        (2, 3),
        (3, 3),
        (4, 7),
        (32767, 32767),
        (32768, 65535),
        (65535, 65535),
    ] {
        image.incompat(8).sb(86, &count.to_le_bytes());
        let sb = image.super_block();
        assert_eq!(sb.device_id_mask(), mask, "{count} devices");
        assert_eq!(sb.device_slot_offset(count), None);
        if count != 0 {
            let last = u64::from(count) - 1;
            assert_eq!(sb.device_slot_offset(count - 1), Some((2 + last) * 128));
        }
    }
}

#[test]
fn shared_attributes_are_located() {
    let mut image = image();
    image.sb(44, &3u32.to_le_bytes());
    assert_eq!(
        image.super_block().shared_xattrs(),
        Ok((Space::Primary, 12288))
    );
    image.compat(0x08);
    assert_eq!(image.super_block().shared_xattrs(), Err(Defect::NoMetabox));
    image.incompat(0x100).sb(13, &[1]);
    assert_eq!(
        image.super_block().shared_xattrs(),
        Ok((Space::Metabox, 12288))
    );
}

#[test]
fn prefix_tables_are_located() {
    let space = |compat, incompat| {
        let mut image = image();
        image.compat(compat).incompat(incompat).sb(13, &[1]);
        image.sb(91, &[2]).sb(92, &5u32.to_le_bytes()).sb(96, &[1]);
        let location = image.super_block().prefix_location().unwrap();
        assert_eq!((location.offset, location.count), (20, 2));
        location.space
    };
    assert_eq!(space(0x10, 0x120), Space::Primary);
    assert_eq!(space(0, 0x120), Space::Metabox);
    assert_eq!(space(0, 0x20), Space::Packed);
    assert_eq!(space(0, 0), Space::Primary);
}

#[test]
fn filter_needs_its_bit_and_a_zero() {
    let mut image = image();
    assert!(!image.super_block().has_xattr_filter());
    image.compat(4);
    assert!(image.super_block().has_xattr_filter());
    image.sb(104, &[1]);
    assert!(!image.super_block().has_xattr_filter());
}

#[test]
fn statfs_counts_all_devices() {
    let mut image = image();
    image
        .sb(36, &10u32.to_le_bytes())
        .sb(16, &4u64.to_le_bytes());
    let sb = image.super_block();
    let mut slot = [0; 128];
    slot[64] = 5;
    let slot = sb.device_slot(&slot);
    let stat = sb.statfs(&[slot, slot]);
    assert_eq!((stat.block_size, stat.blocks, stat.inos), (4096, 20, 4));
}

#[test]
fn every_defect_has_a_message() {
    for (at, defect) in Defect::ALL.iter().enumerate() {
        assert!(!defect.message().is_empty());
        assert!(defect.errno().number() > 0);
        let others = Defect::ALL.iter().skip(at + 1);
        assert!(others.clone().all(|o| o.message() != defect.message()));
    }
    assert_eq!(Errno::EUCLEAN.number(), 117);
    assert_eq!(Defect::BadMagic.errno(), Errno::EINVAL);
}
