// SPDX-License-Identifier: GPL-2.0

//! Translation of (device id, byte address) to a byte of one device (docs/spec/erofs-format.md
//! section 3).

use crate::{Defect, DeviceSlot, SuperBlock};

/// End of the block address space.
const MAX_BLOCKS: u64 = 1 << 48;

/// Devices given at mount.
#[derive(Clone, Copy, Debug)]
pub enum Devices<'a> {
    /// Only the primary device. Slots are ranges of it at their unified addresses; the slice is
    /// empty without a device table.
    Flat(&'a [DeviceSlot]),
    /// The primary device and one device per slot.
    Multi(&'a [DeviceSlot]),
}

impl<'a> Devices<'a> {
    /// Slots of the device table.
    #[inline]
    pub fn slots(&self) -> &'a [DeviceSlot] {
        match self {
            Self::Flat(slots) | Self::Multi(slots) => slots,
        }
    }
}

/// A run of bytes on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRange {
    /// Device number: 0 is the primary, n the device of slot n - 1.
    pub device: u16,
    /// Byte offset on the device; block-aligned if the address was.
    pub offset: u64,
    /// Number of contiguous bytes on the device, from 1 to the requested length.
    pub len: u64,
}

/// Translates byte `addr` of device id `device_id`, already masked as in
/// [`Target::Mapped`](crate::Target), and determines how many of the next `len` bytes are
/// contiguous on the device.
///
/// Each byte resolves by its own address: a run that crosses the edge of a unified range is cut
/// there, whereas the C driver decides by the first byte. The `blocks` of a slot are not a bound
/// because images store wrong values; the caller, which knows the true size of the device, rejects
/// bytes beyond it with [`Defect::BeyondDevice`].
///
/// # Errors
///
/// [`Defect::NoSuchDevice`], [`Defect::AddressOverflow`].
#[inline]
pub fn resolve(
    sb: &SuperBlock,
    devices: &Devices<'_>,
    device_id: u16,
    addr: u64,
    len: u64,
) -> Result<DeviceRange, Defect> {
    if device_id != 0 {
        return resolve_slot(sb, devices, device_id, addr, len);
    }
    match devices {
        Devices::Multi(slots) if !slots.is_empty() => Ok(resolve_unified(sb, slots, addr, len)),
        _ => Ok(DeviceRange {
            device: 0,
            offset: addr,
            len,
        }),
    }
}

/// Translates an address on the device of a slot.
fn resolve_slot(
    sb: &SuperBlock,
    devices: &Devices<'_>,
    device_id: u16,
    addr: u64,
    len: u64,
) -> Result<DeviceRange, Defect> {
    let slot = usize::from(device_id)
        .checked_sub(1)
        .and_then(|index| devices.slots().get(index))
        .ok_or(Defect::NoSuchDevice)?;
    match devices {
        Devices::Multi(_) => Ok(DeviceRange {
            device: device_id,
            offset: addr,
            len,
        }),
        Devices::Flat(_) => {
            let offset = addr
                .checked_add(bytes(sb, slot.uniaddr))
                .ok_or(Defect::AddressOverflow)?;
            Ok(DeviceRange {
                device: 0,
                offset,
                len: len.min(u64::MAX.saturating_sub(offset)),
            })
        }
    }
}

/// Translates an address of device id 0 when slots can own ranges of it. The first slot that
/// contains the byte wins; otherwise it is on the primary device.
fn resolve_unified(sb: &SuperBlock, slots: &[DeviceSlot], addr: u64, len: u64) -> DeviceRange {
    // Limit the run to the start of the next range, where another device may begin.
    let mut len = len;
    let mut device = 0u16;
    for slot in slots {
        device = device.wrapping_add(1);
        if slot.uniaddr == 0 {
            continue;
        }
        let start = bytes(sb, slot.uniaddr);
        match addr.checked_sub(start) {
            None => len = len.min(start.saturating_sub(addr)),
            Some(offset) => {
                let left = bytes(sb, slot.blocks).saturating_sub(offset);
                if left != 0 {
                    return DeviceRange {
                        device,
                        offset,
                        len: len.min(left),
                    };
                }
            }
        }
    }
    DeviceRange {
        device: 0,
        offset: addr,
        len,
    }
}

/// Checks that `len` bytes from `addr` end within 2^48 blocks.
#[inline]
pub(crate) fn check_range(sb: &SuperBlock, addr: u64, len: u64) -> Result<(), Defect> {
    match addr.checked_add(len) {
        Some(end) if end.saturating_sub(1).wrapping_shr(sb.block_bits()) < MAX_BLOCKS => Ok(()),
        _ => Err(Defect::AddressOverflow),
    }
}

/// Converts blocks (fewer than 2^48) to bytes.
#[inline]
pub(crate) fn bytes(sb: &SuperBlock, blocks: u64) -> u64 {
    blocks.wrapping_shl(sb.block_bits())
}
