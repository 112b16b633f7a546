// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::{resolve, Defect, DeviceRange, DeviceSlot, Devices, SuperBlock};

use crate::image::Image;

const BS: u64 = 4096;

fn super_block(incompat: u32) -> SuperBlock {
    let mut image = Image::new(12, 8192);
    image.incompat(incompat).sb(86, &3u16.to_le_bytes());
    image.super_block()
}

fn slot(blocks: u64, uniaddr: u64) -> DeviceSlot {
    let mut bytes = [0; 128];
    bytes[..3].copy_from_slice(b"tag");
    bytes[64..68].copy_from_slice(&(blocks as u32).to_le_bytes());
    bytes[68..72].copy_from_slice(&(uniaddr as u32).to_le_bytes());
    bytes[72..74].copy_from_slice(&((blocks >> 32) as u16).to_le_bytes());
    bytes[74..76].copy_from_slice(&((uniaddr >> 32) as u16).to_le_bytes());
    super_block(0x88).device_slot(&bytes)
}

fn at(device: u16, offset: u64, len: u64) -> Result<DeviceRange, Defect> {
    Ok(DeviceRange {
        device,
        offset,
        len,
    })
}

#[test]
fn slots() {
    let wide = slot(5 | 1 << 32, 6 | 2 << 32);
    assert_eq!((wide.blocks, wide.uniaddr), (5 | 1 << 32, 6 | 2 << 32));
    assert_eq!(wide.tag(), b"tag");
    let mut bytes = [0xff; 128];
    let full = super_block(8).device_slot(&bytes);
    assert_eq!((full.blocks, full.uniaddr), (0xffff_ffff, 0xffff_ffff));
    assert_eq!(full.tag(), &[0xff; 64]);
    bytes[0] = 0;
    assert_eq!(super_block(8).device_slot(&bytes).tag(), b"");
}

#[test]
fn as_many_devices_as_slots_or_none() {
    let with_table = super_block(8);
    for (given, answer) in [
        (0, Ok(())),
        (2, Err(Defect::DeviceCount)),
        (3, Ok(())),
        (4, Err(Defect::DeviceCount)),
    ] {
        assert_eq!(with_table.check_device_count(given), answer);
    }
    let without = super_block(0);
    assert_eq!(without.check_device_count(0), Ok(()));
    assert_eq!(without.check_device_count(3), Err(Defect::DeviceCount));
}

#[test]
fn an_on_demand_mount_has_1024_devices_at_most() {
    let with = |slots: u16| {
        let mut image = Image::new(12, 4096);
        image.incompat(8).sb(86, &slots.to_le_bytes());
        image.super_block()
    };
    assert_eq!(with(1024).check_on_demand_devices(), Ok(()));
    for slots in [1025, u16::MAX] {
        let checked = with(slots).check_on_demand_devices();
        assert_eq!(checked, Err(Defect::TooManyDevices));
    }
}

#[test]
fn named_devices() {
    let sb = super_block(8);
    let slots = [slot(4, 100), slot(0, 0)];
    let multi = Devices::Multi(&slots);
    let flat = Devices::Flat(&slots);
    assert_eq!(resolve(&sb, &multi, 1, BS, BS), at(1, BS, BS));
    assert_eq!(resolve(&sb, &flat, 1, BS, BS), at(0, 101 * BS, BS));
    // A slot of unknown size is not a bound.
    assert_eq!(resolve(&sb, &multi, 2, 999 * BS, 9), at(2, 999 * BS, 9));
    assert_eq!(resolve(&sb, &flat, 2, 7 * BS, 9), at(0, 7 * BS, 9));
    // The size in a slot is not a bound either.
    assert_eq!(resolve(&sb, &multi, 1, 4 * BS, BS), at(1, 4 * BS, BS));
    assert_eq!(resolve(&sb, &multi, 3, 0, BS), Err(Defect::NoSuchDevice));
    assert_eq!(
        resolve(&sb, &Devices::Flat(&[]), 1, 0, BS),
        Err(Defect::NoSuchDevice)
    );
}

#[test]
fn sums_do_not_wrap() {
    let sb = super_block(0x88);
    let slots = [slot(0, (1 << 48) - 1)];
    let flat = Devices::Flat(&slots);
    let top = ((1 << 48) - 1) * BS;
    assert_eq!(resolve(&sb, &flat, 1, 0, BS), at(0, top, BS));
    let far = u64::MAX - top - 5;
    assert_eq!(resolve(&sb, &flat, 1, far, BS), at(0, u64::MAX - 5, 5));
    assert_eq!(
        resolve(&sb, &flat, 1, far + 6, BS),
        Err(Defect::AddressOverflow)
    );
}

#[test]
fn unified_ranges() {
    let sb = super_block(8);
    // Ranges [10, 14) and [12, 20); the first wins where both hold a block.
    let slots = [slot(4, 10), slot(8, 12), slot(9, 0)];
    let multi = Devices::Multi(&slots);
    let find = |block: u64, blocks: u64| resolve(&sb, &multi, 0, block * BS, blocks * BS);
    assert_eq!(find(0, 5), at(0, 0, 5 * BS));
    assert_eq!(find(8, 99), at(0, 8 * BS, 2 * BS));
    assert_eq!(find(10, 1), at(1, 0, BS));
    assert_eq!(find(13, 9), at(1, 3 * BS, BS));
    assert_eq!(find(14, 9), at(2, 2 * BS, 6 * BS));
    assert_eq!(find(20, 9), at(0, 20 * BS, 9 * BS));
    // In the opposite order, the range of the first slot still cuts the other.
    let slots = [slot(8, 12), slot(4, 10)];
    let multi = Devices::Multi(&slots);
    assert_eq!(resolve(&sb, &multi, 0, 10 * BS, 9 * BS), at(2, 0, 2 * BS));
    // In flat mode addresses are used as they are.
    let flat = Devices::Flat(&slots);
    assert_eq!(resolve(&sb, &flat, 0, 13 * BS, BS), at(0, 13 * BS, BS));
}
