// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated image options.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::tree::layout;
use crate::write::{DeviceOptions, ImageOptions, LongPrefix, PrefixPlace, SharedXattrs, Unified};

/// Generates an infix: usually one that attributes of [`super::tree()`] begin with, sometimes one
/// that none begins with.
fn prefix() -> impl Strategy<Value = LongPrefix> {
    let infix = prop_oneof![
        4 => prop::sample::select(vec!["", "a", "a.", "a.b.", "a.b.c"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(1_u8.., 0..12),
        1 => Just(vec![b'n'; 255]),
    ];
    (prop::sample::select(vec![1_u8, 4, 6]), infix)
        .prop_map(|(base, infix)| LongPrefix { base, infix })
}

fn device() -> impl Strategy<Value = DeviceOptions> {
    let tag = prop_oneof![vec(any::<u8>(), 1..20), Just(vec![b'a'; 64])];
    let unified = prop_oneof![
        3 => Just(Unified::None),
        3 => Just(Unified::Next),
        1 => (0_u64..1 << 20).prop_map(Unified::AtLeast),
        1 => ((1_u64 << 32) - 2..1 << 44).prop_map(Unified::AtLeast),
    ];
    let first_block = prop_oneof![4 => Just(0_u64), 1 => 0_u64..64];
    (tag, first_block, unified).prop_map(|(tag, first_block, unified)| DeviceOptions {
        tag,
        first_block,
        unified,
    })
}

type Places = (u32, u32, u64, u8, bool, u64);

/// Start of each area: meta_block, xattr_lead, data_block, ext_slots, wide, padding.
fn places() -> impl Strategy<Value = Places> {
    (
        prop_oneof![2 => Just(0_u32), 1 => 1_u32..80],
        prop_oneof![2 => Just(0_u32), 1 => 1_u32..8],
        prop_oneof![6 => Just(0_u64), 2 => 0_u64..500, 1 => (1_u64 << 32) - 20..(1 << 32) + 20],
        prop_oneof![3 => Just(0_u8), 1 => 1_u8..=184],
        prop::bool::weighted(0.25),
        prop::sample::select(vec![4096_u64, 4096, 65_536]),
    )
}

type Attributes = (SharedXattrs, Vec<LongPrefix>, PrefixPlace, bool, u8);

fn attributes() -> impl Strategy<Value = Attributes> {
    (
        prop::sample::select(vec![
            SharedXattrs::None,
            SharedXattrs::Primary,
            SharedXattrs::Metabox,
        ]),
        prop_oneof![2 => Just(Vec::new()), 2 => vec(prefix(), 1..5)],
        prop::sample::select(vec![
            PrefixPlace::Plain,
            PrefixPlace::Metabox,
            PrefixPlace::Packed,
            PrefixPlace::Fallback,
        ]),
        any::<bool>(),
        prop::sample::select(vec![0_u8, 0, 0, 1]),
    )
}

type Habits = (bool, Option<u64>, bool, bool, bool, bool);

/// Writer behaviour: checksum, shuffle, dedupe, dirty tails, dirty reserved fields, terse features.
fn habits() -> impl Strategy<Value = Habits> {
    let rarely = || prop::bool::weighted(0.25);
    (
        any::<bool>(),
        weighted(0.5, any::<u64>()),
        any::<bool>(),
        rarely(),
        rarely(),
        rarely(),
    )
}

/// Generates options of any image that a kernel with 4 KiB pages can mount. Most have few features;
/// all at once is possible.
pub fn image_options() -> impl Strategy<Value = ImageOptions> {
    (
        9_u8..=12,
        prop::sample::select(vec![0_i64, 1_700_000_000, -3_000_000_000]),
        prop::sample::select(vec![0_u32, 999_999_999]),
        (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>()),
        places(),
        attributes(),
        habits(),
        (
            prop_oneof![2 => Just(Vec::new()), 2 => vec(device(), 1..4)],
            any::<bool>(),
        ),
        (weighted(0.3, layout(3)), layout(3)),
    )
        .prop_map(
            |(block_bits, epoch, fixed_nsec, names, places, attributes, habits, extra, inner)| {
                let (uuid, label, build_time) = names;
                let (meta_block, xattr_lead, data_block, ext_slots, wide, padding) = places;
                let (shared_xattrs, prefixes, prefix_place, filter, filter_reserved) = attributes;
                let (checksum, shuffle, dedupe, dirty_tails, dirty_reserved, terse_features) =
                    habits;
                let ((devices, flat), (metabox, packed)) = (extra, inner);
                ImageOptions {
                    block_bits,
                    epoch,
                    fixed_nsec,
                    checksum,
                    uuid,
                    label,
                    build_time,
                    ext_slots,
                    wide,
                    meta_block,
                    xattr_lead,
                    data_block,
                    shared_xattrs,
                    prefixes,
                    prefix_place,
                    filter,
                    filter_reserved,
                    flat: flat && !devices.is_empty(),
                    devices,
                    metabox,
                    packed,
                    shuffle,
                    dedupe,
                    dirty_tails,
                    dirty_reserved,
                    terse_features,
                    padding,
                }
            },
        )
}
