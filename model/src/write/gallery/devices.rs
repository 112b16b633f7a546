// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with extra devices: by id, by unified address, and flat (docs/spec/erofs-format.md
//! section 3).

use super::trees::{chunked, chunked_unified, directory, fill, plain_on, sparse};
use super::{sample_image, SampleImage};
use crate::tree::{ChunkMap, Layout, Tree};
use crate::write::{DeviceOptions, ImageOptions, Unified};

fn device(tag: &[u8], unified: Unified) -> DeviceOptions {
    DeviceOptions {
        tag: tag.to_vec(),
        first_block: 0,
        unified,
    }
}

fn three(unified: [Unified; 3]) -> Vec<DeviceOptions> {
    let [a, b, c] = unified;
    vec![
        device(b"first", a),
        device(&[b'f'; 64], b),
        device(b"third", c),
    ]
}

pub(super) fn samples() -> Vec<SampleImage> {
    let none = Unified::None;
    let small = ImageOptions::with_block_bits(9);
    let base = ImageOptions::default();
    let with = |devices| ImageOptions {
        devices,
        ..base.clone()
    };
    let by_id = tree(4096, &chunked(0, ChunkMap::Indexes, &[1, 0, 3, 2]));
    let one_each = chunked(2, ChunkMap::Indexes48, &[1]);
    let unified_map = tree(4096, &chunked_unified(0, ChunkMap::Blocks, &[1, 2, 0, 3]));
    let next = Unified::Next;
    vec![
        sample_image(
            "device-one",
            "one extra device, everything on it",
            tree(4096, &one_each),
            with(vec![device(b"blob", none)]),
        ),
        sample_image(
            "device-three",
            "chunks spread over the primary and three blobs",
            by_id.clone(),
            with(three([none; 3])),
        ),
        sample_image(
            "device-unified",
            "4-byte maps reach blobs by unified addresses",
            unified_map.clone(),
            with(three([next; 3])),
        ),
        sample_image(
            "device-mixed",
            "one slot without unified address between two with one",
            tree(4096, &chunked_unified(1, ChunkMap::Indexes, &[1, 2, 3])),
            with(three([next, none, Unified::AtLeast(1 << 20)])),
        ),
        sample_image(
            "device-plain",
            "plain and inline data on blobs",
            plain_tree(4096),
            with(three([next; 3])),
        ),
        sample_image(
            "device-unified-48",
            "unified addresses behind block 2^32",
            tree(4096, &chunked_unified(0, ChunkMap::Indexes48, &[1, 2, 3])),
            with(three([
                Unified::AtLeast(1 << 32),
                next,
                Unified::AtLeast(1 << 40),
            ])),
        ),
        sample_image(
            "device-plain-48",
            "plain and inline data at unified addresses behind block 2^32",
            plain_tree(4096),
            with(three([Unified::AtLeast(1 << 33), next, next])),
        ),
        sample_image(
            "device-flat",
            "the slots' data are on the primary device, chunks name device ids",
            by_id,
            ImageOptions {
                flat: true,
                ..with(three([none; 3]))
            },
        ),
        sample_image(
            "device-flat-unified",
            "the same by unified addresses",
            unified_map,
            ImageOptions {
                flat: true,
                shuffle: Some(5),
                ..with(three([next; 3]))
            },
        ),
        sample_image(
            "device-far-huge",
            "a blob of 2 TiB whose data are behind block 2^32",
            tree(512, &chunked(0, ChunkMap::Indexes48, &[1])),
            ImageOptions {
                devices: vec![DeviceOptions {
                    first_block: (1 << 32) - 4,
                    ..device(b"far", none)
                }],
                ..small.clone()
            },
        ),
        sample_image(
            "device-seven",
            "seven slots: every device id is used, the mask has no spare value",
            tree(512, &chunked(0, ChunkMap::Indexes, &[1, 2, 3, 4, 5, 6, 7])),
            ImageOptions {
                devices: (0..7)
                    .map(|n| device(format!("blob-{n}").as_bytes(), none))
                    .collect(),
                ..small
            },
        ),
        sample_image(
            "device-many-flat",
            "a table of megabytes",
            tree(4096, &chunked(0, ChunkMap::Indexes, &[1, 50_000, 0])),
            ImageOptions {
                devices: (0..50_000)
                    .map(|n| device(format!("blob-{n}").as_bytes(), none))
                    .collect(),
                flat: true,
                ..base
            },
        ),
    ]
}

fn tree(block: u64, layout: &Layout) -> Tree {
    let mut tree = Tree::new(directory(&Layout::inline()));
    let sub = tree.add(Tree::ROOT, "all", directory(layout));
    fill(&mut tree, sub, block, layout);
    tree.add(Tree::ROOT, "sparse", sparse(1, 4 * block, layout));
    tree
}

fn plain_tree(block: u64) -> Tree {
    let mut tree = Tree::new(directory(&Layout::inline()));
    for number in 0..4 {
        let sub = tree.add(
            Tree::ROOT,
            format!("plain-{number}"),
            directory(&plain_on(number)),
        );
        fill(&mut tree, sub, block, &plain_on(number));
        let inline = Layout {
            device: number,
            ..Layout::inline()
        };
        let sub = tree.add(Tree::ROOT, format!("inline-{number}"), directory(&inline));
        fill(&mut tree, sub, block, &inline);
    }
    tree
}
