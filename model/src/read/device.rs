// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device table, and the translation of physical addresses to devices
//! (docs/spec/erofs-format.md section 3).

use super::device_bytes::{holds, DeviceBytes};
use super::fields::Fields;
use super::superblock::{incompat, Superblock};
use super::{Fault, Result};
use crate::observation::Text;
use crate::strictness::Defect;

const SLOT: usize = 128;

/// A slot of the device table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slot {
    /// The blob's id, without NUL padding.
    pub tag: Text,
    /// Its size in blocks.
    pub blocks: u64,
    /// First block in the unified address space; 0 for none.
    pub unified: u64,
}

/// The devices of a mount.
pub struct Devices {
    primary: Box<dyn DeviceBytes>,
    /// Given at mount in slot order; empty in flat mode and without a table.
    extra: Vec<Box<dyn DeviceBytes>>,
    /// Slots of the device table.
    pub slots: Vec<Slot>,
    block_bits: u8,
}

impl Devices {
    pub(super) fn read(
        primary: Box<dyn DeviceBytes>,
        extra: Vec<Box<dyn DeviceBytes>>,
        sb: &Superblock,
    ) -> Result<Self> {
        let count = usize::from(sb.extra_devices);
        if !extra.is_empty() && extra.len() != count {
            let why = format!(
                "{} devices are given, the image has {count} slots",
                extra.len()
            );
            return Err(Defect::DeviceCount.fault(why));
        }
        let mut table = vec![0; count * SLOT];
        if count > 0 {
            if !holds(&primary, sb.device_table, table.len() as u64) {
                let why = format!(
                    "a table of {count} slots at byte {} leaves the image",
                    sb.device_table
                );
                return Err(Defect::DeviceTableBeyondImage.fault(why));
            }
            let failed = |errno| Fault::other(errno, "the device table cannot be read");
            primary
                .read_at(sb.device_table, &mut table)
                .map_err(failed)?;
        }
        let large = sb.has(incompat::LARGE);
        let join =
            |low: u32, high: u16| u64::from(low) | if large { u64::from(high) << 32 } else { 0 };
        let slots = table.chunks_exact(SLOT).map(|slot| {
            let f = Fields(slot);
            let tag = slot[..64]
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default();
            Slot {
                tag: tag.into(),
                blocks: join(f.u32(64), f.u16(72)),
                unified: join(f.u32(68), f.u16(74)),
            }
        });
        Ok(Self {
            slots: slots.collect(),
            primary,
            extra,
            block_bits: sb.block_bits,
        })
    }

    /// True if data is on the primary device at unified addresses, because no devices were given.
    pub fn flat(&self) -> bool {
        self.extra.is_empty()
    }

    /// Masks a device id of a chunk index. Its high bits may carry other data.
    pub fn mask(&self, id: u16) -> u16 {
        let mask = (self.slots.len() + 1).next_power_of_two() - 1;
        id & mask as u16
    }

    /// Translates `(id, address)` to a device and a byte offset on it. `id` is masked here;
    /// `address` is in bytes.
    ///
    /// # Errors
    /// [`Defect::UnknownDevice`], and [`Defect::AddressOverflow`] when a unified address leaves 64 bits.
    pub fn locate(&self, id: u16, address: u64) -> Result<(u16, u64)> {
        let bytes = |blocks: u64| u128::from(blocks) << self.block_bits;
        if id != 0 {
            let Some(slot) = self.slots.get(usize::from(id) - 1) else {
                let why = format!("device {id} of {}", self.slots.len());
                return Err(Defect::UnknownDevice.fault(why));
            };
            if !self.flat() {
                return Ok((id, address));
            }
            let unified = u64::try_from(bytes(slot.unified) + u128::from(address));
            let overflow = |_| {
                Defect::AddressOverflow.fault(format!("a unified address of device {id} overflows"))
            };
            return Ok((0, unified.map_err(overflow)?));
        }
        if !self.flat() {
            for (slot, id) in self.slots.iter().zip(1..) {
                let range = bytes(slot.unified)..bytes(slot.unified) + bytes(slot.blocks);
                if slot.unified != 0 && range.contains(&address.into()) {
                    return Ok((id, address - range.start as u64));
                }
            }
        }
        Ok((0, address))
    }

    /// Returns the bytes of a device returned by [`Devices::locate`].
    pub fn bytes(&self, id: u16) -> &dyn DeviceBytes {
        match id {
            0 => &*self.primary,
            n => &*self.extra[usize::from(n) - 1],
        }
    }
}
