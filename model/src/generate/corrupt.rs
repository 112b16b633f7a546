// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Deliberately damaged images: one field at a time, set to boundary values of that field
//! (docs/spec/erofs-format.md section 13.1).

use proptest::collection::vec;
use proptest::prelude::*;

use super::{scenario, Scenario};
use crate::write::{Image, Site, WriteError};

/// A modification of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The n-th of [`boundaries`], modulo their number.
    Boundary(u16),
    /// This value, truncated to the field's width.
    Set(u64),
    /// Add this amount, modulo the field's width.
    Add(i64),
    /// Flip this bit, modulo the field's width.
    Flip(u8),
    /// Copy the value of another site of the image, modulo their number.
    CopyFrom(u32),
}

/// A mutation of an image. Selectors are numbers of any size, taken modulo the number of
/// candidates, so that every mutation applies to every image and a fuzzer can derive mutations from
/// raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A field. Its name is selected first and then one of its occurrences, so that the many
    /// directory fields do not crowd out those of the superblock.
    Field {
        /// Selects a field name that occurs in the image.
        sort: u16,
        /// Selects an occurrence of that name.
        occurrence: u32,
        /// The modification.
        change: Change,
    },
    /// Truncates a device by this many bytes, modulo its length.
    Cut {
        /// Selects among the devices.
        device: u16,
        /// Bytes to cut.
        bytes: u64,
    },
    /// Overwrites bytes within the first 64 KiB of a device.
    Scribble {
        /// Selects among the devices.
        device: u16,
        /// Byte offset.
        offset: u16,
        /// The new bytes.
        bytes: Vec<u8>,
    },
}

/// Boundary values of a field for blocks of `block` bytes.
pub fn boundaries(field: &str, block: u64) -> Vec<u64> {
    let special: &[u64] = match field {
        "dirent.nameoff" => &[
            0,
            11,
            12,
            13,
            24,
            block - 12,
            block - 1,
            block,
            block + 12,
            65_535,
        ],
        "dirent.name" => &[0, 0x2e, 0x2f, 0xff],
        "dirent.nid"
        | "superblock.rootnid_8b"
        | "superblock.packed_nid"
        | "superblock.metabox_nid" => &[
            0,
            1,
            1 << 59,
            (1 << 59) | 36,
            1 << 58,
            1 << 63,
            (1 << 63) | 1,
            (1 << 63) | (1 << 59),
            (1 << 63) - 1,
        ],
        "inode.size" => &[
            0,
            1,
            block - 1,
            block,
            block + 1,
            2 * block + 1,
            4095,
            4096,
            1 << 31,
            1 << 32,
            (1 << 32) - 1,
            (1 << 63) - 1,
            1 << 63,
        ],
        "inode.format" => &[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 16, 17, 20, 24, 32, 0x8000],
        "inode.u" => &[
            0,
            1,
            0x1f,
            0x20,
            0x3f,
            0x60,
            0x7f,
            0x80,
            0x1_0020,
            0xffff_fffe,
            0xffff_ffff,
        ],
        "inode.xattr_icount" => &[0, 1, 2, 3, 4, block / 4, 65_535],
        "inode.mode" => &[
            0, 0o040_755, 0o100_644, 0o120_777, 0o010_644, 0o020_644, 0o160_000, 0o170_000,
        ],
        "inode.mtime_nsec" | "superblock.fixed_nsec" => &[999_999_999, 1_000_000_000, 0xffff_ffff],
        "chunk.device" => &[0, 1, 2, 3, 4, 5, 7, 8, 255, 256, 65_535],
        "chunk.block" | "chunk.block_lo" => {
            &[0, 1, 2, 1 << 20, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff]
        }
        "xattr.shared_count" => &[0, 1, 2, 8, 128, 255],
        "xattr.shared_id" => &[0, 1, 256, 1 << 16, 1 << 30, 0xffff_ffff],
        "xattr.name_index" => &[0, 1, 2, 3, 4, 5, 6, 7, 127, 128, 129, 255],
        "xattr_prefix.length" => &[0, 1, 2, 256, 257, 65_535],
        "superblock.blkszbits" => &[0, 8, 9, 10, 11, 12, 13, 16, 31, 32, 63, 64, 255],
        "superblock.sb_extslots" => &[0, 1, 2, 183, 184, 185, 255],
        "superblock.xattr_prefix_count" => &[0, 1, 2, 127, 128, 129, 255],
        "superblock.extra_devices" => &[0, 1, 2, 3, 4, 7, 8, 65_535],
        _ => &[],
    };
    // Values for every field: minimum, maximum, sign bit, and their neighbours.
    let usual = [
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        1 << 31,
        u32::MAX.into(),
        1 << 48,
        u64::MAX,
    ];
    special
        .iter()
        .copied()
        .chain(if special.is_empty() {
            usual.to_vec()
        } else {
            Vec::new()
        })
        .collect()
}

/// Applies a mutation and describes it. The checksum is left alone: see [`Image::reseal`].
pub fn mutate(image: &mut Image, mutation: &Mutation) -> String {
    match mutation {
        Mutation::Field {
            sort,
            occurrence,
            change,
        } => {
            let mut names: Vec<&'static str> = image.sites.iter().map(|site| site.field).collect();
            names.sort_unstable();
            names.dedup();
            let Some(name) = names.get(usize::from(*sort) % names.len().max(1)) else {
                return "nothing to damage".to_owned();
            };
            let all: Vec<&Site> = image
                .sites
                .iter()
                .filter(|site| site.field == *name)
                .collect();
            let site = all[*occurrence as usize % all.len()].clone();
            alter(image, &site, change)
        }
        Mutation::Cut { device, bytes } => {
            let device = device % (image.blobs.len() as u16 + 1);
            let Some(store) = image.device_mut(device) else {
                return "no such device".to_owned();
            };
            let len = store.len();
            let cut = bytes % (len + 1);
            store.set_len(len - cut);
            format!(
                "device {device} ends at byte {} instead of {len}",
                len - cut
            )
        }
        Mutation::Scribble {
            device,
            offset,
            bytes,
        } => {
            let device = device % (image.blobs.len() as u16 + 1);
            let Some(store) = image.device_mut(device) else {
                return "no such device".to_owned();
            };
            let room = store.len().saturating_sub(u64::from(*offset)) as usize;
            let bytes = &bytes[..bytes.len().min(room)];
            store.write_at((*offset).into(), bytes);
            format!("device {device} has {bytes:02x?} at byte {offset}")
        }
    }
}

fn value_at(image: &mut Image, site: &Site) -> u64 {
    let mut bytes = [0; 8];
    if let Some(store) = image.device_mut(site.device) {
        store.read_at(site.offset, &mut bytes[..usize::from(site.width)]);
    }
    u64::from_le_bytes(bytes)
}

fn alter(image: &mut Image, site: &Site, change: &Change) -> String {
    let before = value_at(image, site);
    let bits = u32::from(site.width) * 8;
    let after = match change {
        Change::Boundary(index) => {
            let all = boundaries(site.field, 1 << image.block_bits);
            all[usize::from(*index) % all.len()]
        }
        Change::Set(value) => *value,
        Change::Add(more) => before.wrapping_add_signed(*more),
        Change::Flip(bit) => before ^ 1 << (u32::from(*bit) % bits),
        Change::CopyFrom(other) => {
            let other = image.sites[*other as usize % image.sites.len()].clone();
            value_at(image, &other)
        }
    };
    let after = after & u64::MAX >> (64 - bits);
    if let Some(store) = image.device_mut(site.device) {
        // A field beyond a truncated end stays lost.
        if site.offset + u64::from(site.width) <= store.len() {
            store.write_at(site.offset, &after.to_le_bytes()[..usize::from(site.width)]);
        }
    }
    format!(
        "{} at byte {} of device {} is {after:#x} instead of {before:#x}",
        site.field, site.offset, site.device
    )
}

/// A scenario and the mutations to apply to its image.
#[derive(Clone, Debug)]
pub struct Corrupted {
    /// The undamaged scenario.
    pub scenario: Scenario,
    /// Mutations, applied in order.
    pub mutations: Vec<Mutation>,
    /// Recompute the checksum, so that damage to the superblock gets past it.
    pub reseal: bool,
}

impl Corrupted {
    /// Writes the image and applies the mutations. Returns a description of each.
    ///
    /// # Errors
    /// As [`Scenario::image`].
    pub fn image(&self) -> Result<(Image, Vec<String>), WriteError> {
        let mut image = self.scenario.image()?;
        let descriptions = self
            .mutations
            .iter()
            .map(|mutation| mutate(&mut image, mutation))
            .collect();
        if self.reseal && image.primary.len() >= 8192 {
            image.reseal();
        }
        Ok((image, descriptions))
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => any::<u16>().prop_map(Change::Boundary),
        1 => any::<u64>().prop_map(Change::Set),
        2 => prop_oneof![Just(1_i64), Just(-1), -40_i64..40].prop_map(Change::Add),
        2 => any::<u8>().prop_map(Change::Flip),
        1 => any::<u32>().prop_map(Change::CopyFrom),
    ]
}

/// Generates one to four mutations, mostly of single fields.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let field = (any::<u16>(), any::<u32>(), change()).prop_map(|(sort, occurrence, change)| {
        Mutation::Field {
            sort,
            occurrence,
            change,
        }
    });
    let cut = (any::<u16>(), prop_oneof![1_u64..8192, any::<u64>()])
        .prop_map(|(device, bytes)| Mutation::Cut { device, bytes });
    let scribble = (any::<u16>(), any::<u16>(), vec(any::<u8>(), 1..16)).prop_map(
        |(device, offset, bytes)| Mutation::Scribble {
            device,
            offset,
            bytes,
        },
    );
    vec(prop_oneof![12 => field, 1 => cut, 1 => scribble], 1..5)
}

/// Generates any valid scenario with any damage.
pub fn corrupt() -> impl Strategy<Value = Corrupted> {
    (scenario(), mutations(), prop::bool::weighted(0.9)).prop_map(
        |(scenario, mutations, reseal)| Corrupted {
            scenario,
            mutations,
            reseal,
        },
    )
}
