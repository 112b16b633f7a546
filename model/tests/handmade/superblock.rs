// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Superblock checks at mount (docs/spec/erofs-format.md section 2).

use ondine_model::observation::Errno;
use ondine_model::read::{Image, Setup};
use ondine_model::strictness::Defect;

use crate::bytes::{row, Bytes, SUPERBLOCK};

/// Mounts an image with one change.
fn mount(change: impl FnOnce(&mut Bytes)) -> ondine_model::read::Result<Image> {
    let mut image = Bytes::new(4);
    change(&mut image);
    image.open()
}

fn byte(at: usize, value: u8) -> impl FnOnce(&mut Bytes) {
    move |image| image.0[SUPERBLOCK + at] = value
}

#[test]
fn the_plainest_image_mounts() {
    let image = mount(|_| {}).expect("it mounts");
    assert_eq!(image.superblock().block_size(), 4096);
    assert_eq!(image.observe().paths(), 1);
}

#[test]
fn each_check_has_its_row() {
    assert_eq!(row(mount(byte(0, 0))), Defect::Magic);
    assert_eq!(row(mount(byte(12, 8))), Defect::BlockSize);
    assert_eq!(row(mount(byte(12, 13))), Defect::BlockSize);
    assert_eq!(row(mount(byte(90, 1))), Defect::DirectoryBlockSize);
    assert_eq!(row(mount(byte(81, 2))), Defect::IncompatibleFeature);
    assert_eq!(row(mount(byte(13, 185))), Defect::SuperblockSize);
    assert!(mount(byte(13, 184)).is_ok());
    assert_eq!(row(mount(byte(8, 1))), Defect::Checksum);
    assert_eq!(row(mount(byte(8, 0x20))), Defect::SharePrefix);
    assert_eq!(
        row(mount(|image| image.0.truncate(1100))),
        Defect::ImageTooShort
    );
    assert_eq!(
        row(mount(|image| image.0.truncate(0))),
        Defect::ImageTooShort
    );
}

#[test]
fn blocks_may_be_as_large_as_a_page_that_is_larger() {
    let mut image = Bytes::new(4);
    image.0[SUPERBLOCK + 12] = 13;
    let setup = Setup {
        page_size: 16384,
        ..Setup::default()
    };
    // The metadata block is then at 8192, beyond this image's inodes.
    let refused = Image::open(image.0, setup).err().expect("no root");
    assert_eq!(refused.defect, Some(Defect::FileType));
}

#[test]
fn the_first_check_that_fails_decides() {
    let both = mount(|image| {
        byte(90, 1)(image);
        byte(81, 2)(image);
    });
    assert_eq!(row(both), Defect::DirectoryBlockSize);
}

#[test]
fn unknown_compatible_features_and_reserved_bytes_are_ignored() {
    assert!(mount(byte(11, 0x40)).is_ok());
    assert!(mount(byte(106, 0xff)).is_ok());
    assert!(mount(byte(120, 0xff)).is_ok());
}

#[test]
fn an_image_that_declares_compression_mounts() {
    assert!(mount(byte(80, 3)).is_ok());
    assert!(mount(byte(84, 0xff)).is_ok());
}

#[test]
fn a_root_nid_of_48_bits_needs_its_feature_and_a_value() {
    let large = |nid: u64, feature: u8| {
        mount(|image| {
            image.u64(SUPERBLOCK + 112, nid);
            image.0[SUPERBLOCK + 80] = feature;
        })
    };
    assert_eq!(row(large(1 << 60, 0x80)), Defect::NidOverflow);
    assert_eq!(large(1 << 60, 0).expect("ignored").root().nid, 1);
    assert_eq!(
        large(0, 0x80)
            .expect("the short field")
            .superblock()
            .root_nid,
        1
    );
    let blocks = large(1, 0x80).expect("it mounts").superblock().blocks;
    assert_eq!(
        blocks,
        1 << 32 | 4,
        "the short root field has the high bits of the block count"
    );
}

#[test]
fn a_metabox_needs_room_for_its_nid() {
    let metabox = |slots: u8, nid: u64| {
        mount(|image| {
            image.0[SUPERBLOCK + 81] = 1;
            image.0[SUPERBLOCK + 13] = slots;
            image.u64(SUPERBLOCK + 128, nid);
        })
    };
    assert_eq!(row(metabox(0, 1)), Defect::MetaboxAbsent);
    assert_eq!(row(metabox(1, 1 << 63 | 1)), Defect::MetaboxInMetabox);
    assert!(metabox(1, 1).is_ok(), "any inode may be the metabox");
}

#[test]
fn the_packed_inode_is_loaded_before_the_metabox() {
    let packed = |nid: u64| {
        mount(|image| {
            image.0[SUPERBLOCK + 80] = 0x20;
            image.u64(SUPERBLOCK + 96, nid);
        })
    };
    assert!(packed(0).is_ok());
    assert!(packed(1).is_ok());
    assert_eq!(row(packed(1 << 63 | 1)), Defect::NidNeedsMetabox);
    assert_eq!(row(packed(1 << 40)), Defect::MetadataBeyondImage);
}

#[test]
fn the_root_must_be_a_directory() {
    let refused = mount(|image| {
        image.compact(1, 0, 0o100_644, 0, 0);
    });
    assert_eq!(row(refused), Defect::RootNotDirectory);
}

#[test]
fn long_prefixes_are_checked_at_mount() {
    let prefix = |length: u16| {
        mount(|image| {
            image.0[SUPERBLOCK + 91] = 1;
            image.u32(SUPERBLOCK + 92, 3 * 4096 / 4);
            image.u16(3 * 4096, length).put(3 * 4096 + 2, b"\x01some.");
        })
    };
    assert_eq!(row(prefix(0)), Defect::PrefixLength);
    assert_eq!(row(prefix(257)), Defect::PrefixLength);
    assert!(prefix(1).is_ok() && prefix(256).is_ok());
    let found = prefix(6).expect("it mounts");
    assert_eq!(
        (
            found.prefixes()[0].base,
            found.prefixes()[0].infix.as_bytes()
        ),
        (1, &b"some."[..])
    );
}

#[test]
fn the_checksum_covers_its_block_and_no_more() {
    let mut image = Bytes::new(4);
    image.0[SUPERBLOCK + 8] = 1;
    // The definition of docs/spec/erofs-format.md section 2.3, bit by bit, without table or
    // library.
    let mut state = !0u32;
    for byte in &image.0[SUPERBLOCK..4096] {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 != 0 {
                state >> 1 ^ 0x82f6_3b78
            } else {
                state >> 1
            };
        }
    }
    image.u32(SUPERBLOCK + 4, state);
    assert!(image.open().is_ok());
    image.0[1023] = 1;
    assert!(
        image.open().is_ok(),
        "bytes before the superblock are not covered"
    );
    image.0[4095] = 1;
    assert_eq!(
        image.open().err().expect("a covered byte").errno,
        Errno::EBADMSG
    );
}
