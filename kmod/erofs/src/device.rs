// SPDX-License-Identifier: GPL-2.0

//! Devices: from (device id, byte address) to a byte of one device (section 3).

use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes as _;

use crate::{raw, Defect, SuperBlock};

/// No address of this many blocks or more exists.
const MAX_BLOCKS: u64 = 1 << 48;

/// One slot of the device table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSlot {
    /// Blocks of the device, as far as the image knows; never a bound.
    pub blocks: u64,
    /// First block of the device in the unified address space, 0 = none.
    pub uniaddr: u64,
    tag: [u8; 64],
}

impl DeviceSlot {
    /// Reads the 128 bytes of a slot.
    pub fn parse(bytes: &[u8; 128], sb: &SuperBlock) -> Self {
        let wide = sb.has_wide_slots();
        let join = |lo: U32, hi: U16| {
            let hi = if wide { u64::from(hi.get()) } else { 0 };
            u64::from(lo.get()) | hi << 32
        };
        match raw::DeviceSlot::ref_from_bytes(bytes) {
            Ok(raw) => Self {
                blocks: join(raw.blocks_lo, raw.blocks_hi),
                uniaddr: join(raw.uniaddr_lo, raw.uniaddr_hi),
                tag: raw.tag,
            },
            // Cannot be: the sizes are equal and nothing needs aligning.
            Err(_) => Self {
                blocks: 0,
                uniaddr: 0,
                tag: [0; 64],
            },
        }
    }

    /// The blob's id up to its first NUL: 0 to 64 bytes.
    pub fn tag(&self) -> &[u8] {
        let mut parts = self.tag.split(|b| *b == 0);
        parts.next().unwrap_or_default()
    }
}

/// The devices that a mount was given.
#[derive(Clone, Copy, Debug)]
pub enum Devices<'a> {
    /// Only the primary device: slots are ranges of it, at their unified
    /// addresses. The slice is empty when there is no device table.
    Flat(&'a [DeviceSlot]),
    /// One device per slot, beside the primary.
    Multi(&'a [DeviceSlot]),
}

impl<'a> Devices<'a> {
    /// The device table.
    #[inline]
    pub fn slots(&self) -> &'a [DeviceSlot] {
        match self {
            Self::Flat(slots) | Self::Multi(slots) => slots,
        }
    }
}

/// A run of bytes on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 is the primary device, n the device of slot n - 1.
    pub device: u16,
    /// Byte offset on that device; a multiple of the block size if the address
    /// was one.
    pub offset: u64,
    /// Bytes from there that are on the same device: 1 to the length asked.
    pub len: u64,
}

/// Finds the device of byte `addr` of device id `device_id` (already masked,
/// as in [`Target::Mapped`](crate::Target)), and how many of the `len` bytes
/// from there are contiguous on it.
///
/// Each byte resolves by its own address: a run that passes the edge of a
/// unified range is cut there, where the C driver looks at the first byte only.
/// The `blocks` of a slot are no bound, for images lie about them: who knows the
/// true size of a device refuses what lies outside as
/// [`Defect::BeyondDevice`].
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
) -> Result<Place, Defect> {
    if device_id != 0 {
        return resolve_slot(sb, devices, device_id, addr, len);
    }
    match devices {
        Devices::Multi(slots) if !slots.is_empty() => Ok(resolve_unified(sb, slots, addr, len)),
        _ => Ok(Place {
            device: 0,
            offset: addr,
            len,
        }),
    }
}

/// An address on the device of a slot.
fn resolve_slot(
    sb: &SuperBlock,
    devices: &Devices<'_>,
    device_id: u16,
    addr: u64,
    len: u64,
) -> Result<Place, Defect> {
    let slot = usize::from(device_id)
        .checked_sub(1)
        .and_then(|index| devices.slots().get(index))
        .ok_or(Defect::NoSuchDevice)?;
    match devices {
        Devices::Multi(_) => Ok(Place {
            device: device_id,
            offset: addr,
            len,
        }),
        Devices::Flat(_) => {
            let offset = addr
                .checked_add(bytes(sb, slot.uniaddr))
                .ok_or(Defect::AddressOverflow)?;
            Ok(Place {
                device: 0,
                offset,
                len: len.min(u64::MAX.saturating_sub(offset)),
            })
        }
    }
}

/// An address of device id 0 when slots can own ranges of it: the first slot
/// that holds the byte wins, else it is the primary's.
fn resolve_unified(sb: &SuperBlock, slots: &[DeviceSlot], addr: u64, len: u64) -> Place {
    // Bytes until some range begins: whoever owns `addr` may end there.
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
                    return Place {
                        device,
                        offset,
                        len: len.min(left),
                    };
                }
            }
        }
    }
    Place {
        device: 0,
        offset: addr,
        len,
    }
}

/// Checks that `len` bytes from `addr` end within the 2^48 blocks that exist.
#[inline]
pub(crate) fn check_range(sb: &SuperBlock, addr: u64, len: u64) -> Result<(), Defect> {
    match addr.checked_add(len) {
        Some(end) if end.saturating_sub(1).wrapping_shr(sb.block_bits()) < MAX_BLOCKS => Ok(()),
        _ => Err(Defect::AddressOverflow),
    }
}

/// Blocks (fewer than 2^48) as bytes.
#[inline]
pub(crate) fn bytes(sb: &SuperBlock, blocks: u64) -> u64 {
    blocks.wrapping_shl(sb.block_bits())
}
