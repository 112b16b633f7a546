// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with chunk maps on the primary device (docs/spec/erofs-format.md section 5.4).

use super::trees::{chunked, directory, file, sample, segments, sparse};
use super::{sample_image, SampleImage};
use crate::tree::{ChunkMap, Layout, Segment, Tree};
use crate::write::ImageOptions;

const MAPS: [(ChunkMap, &str); 3] = [
    (ChunkMap::Blocks, "blocks"),
    (ChunkMap::Indexes, "indexes"),
    (ChunkMap::Indexes48, "indexes48"),
];

pub(super) fn samples() -> Vec<SampleImage> {
    let block = ImageOptions::with_block_bits;
    let everything = |bits, map| sample(4096, &chunked(bits, map, &[]));
    vec![
        sample_image(
            "chunk-blocks",
            "4-byte block map",
            everything(0, ChunkMap::Blocks),
            block(12),
        ),
        sample_image(
            "chunk-indexes",
            "8-byte indexes",
            everything(1, ChunkMap::Indexes),
            block(12),
        ),
        sample_image(
            "chunk-indexes48",
            "8-byte indexes of 48 bits",
            everything(2, ChunkMap::Indexes48),
            block(12),
        ),
        sample_image(
            "chunk-sparse",
            "holes in every width of map",
            holes(12),
            block(12),
        ),
        sample_image(
            "chunk-sparse-512",
            "holes in every width of map, blocks of 512 bytes",
            holes(9),
            block(9),
        ),
        sample_image(
            "chunk-shuffled",
            "chunks in no order",
            long_files(512),
            ImageOptions {
                shuffle: Some(1),
                ..block(9)
            },
        ),
        sample_image(
            "chunk-long-map",
            "maps of several blocks, chunks in order",
            long_files(512),
            block(9),
        ),
        sample_image(
            "chunk-shared",
            "equal chunks stored once",
            repeats(),
            ImageOptions {
                dedupe: true,
                shuffle: Some(2),
                ..block(12)
            },
        ),
        sample_image(
            "chunk-one",
            "a chunk larger than the file",
            everything(31, ChunkMap::Indexes),
            block(12),
        ),
        sample_image(
            "chunk-dirty",
            "bytes behind the end of files in their last chunk",
            everything(3, ChunkMap::Blocks),
            ImageOptions {
                dirty_tails: true,
                ..block(12)
            },
        ),
        sample_image(
            "sparse-4g",
            "a sparse file of more than 4 GiB",
            beyond_4g(),
            block(12),
        ),
        sample_image(
            "odd-base",
            "maps whose start must be aligned up",
            odd_base(),
            block(12),
        ),
    ]
}

fn holes(block_bits: u8) -> Tree {
    let mut tree = Tree::default();
    for (map, name) in MAPS {
        for bits in 0..3 {
            let layout = chunked(bits, map, &[]);
            let node = sparse(u64::from(bits), 1 << (block_bits + bits), &layout);
            tree.add(Tree::ROOT, format!("{name}-{bits}"), node);
        }
        let hole = segments(vec![Segment::Hole(100_001)], &chunked(1, map, &[]));
        tree.add(Tree::ROOT, format!("{name}-all"), hole);
    }
    tree
}

/// Files whose maps need several blocks, so that records reach block ends.
fn long_files(block: u64) -> Tree {
    let mut tree = Tree::default();
    for (map, name) in MAPS {
        let layout = chunked(0, map, &[]);
        tree.add(
            Tree::ROOT,
            format!("{name}-contiguous"),
            file(7, 400 * block + 3, &layout),
        );
        tree.add(
            Tree::ROOT,
            format!("{name}-holes"),
            sparse(8, 40 * block, &layout),
        );
    }
    tree
}

fn repeats() -> Tree {
    let mut tree = Tree::default();
    for (map, name) in MAPS {
        let layout = chunked(0, map, &[]);
        let same = |len| {
            Segment::Data(
                b"0123456789abcdef"
                    .iter()
                    .copied()
                    .cycle()
                    .take(len)
                    .collect(),
            )
        };
        tree.add(
            Tree::ROOT,
            format!("{name}-a"),
            segments(vec![same(9 * 4096)], &layout),
        );
        tree.add(
            Tree::ROOT,
            format!("{name}-b"),
            segments(vec![same(4 * 4096 + 100)], &layout),
        );
        tree.add(
            Tree::ROOT,
            format!("{name}-c"),
            segments(vec![same(4096), Segment::Hole(4096), same(4096)], &layout),
        );
    }
    tree
}

fn beyond_4g() -> Tree {
    let mut tree = Tree::default();
    let pattern = |seed, len| Segment::Pattern { seed, len };
    let gap = (1 << 32) - 12_288;
    let runs = vec![
        pattern(1, 4096),
        Segment::Hole(gap),
        pattern(2, 16_384),
        Segment::Hole(50_000),
        pattern(3, 9),
    ];
    tree.add(
        Tree::ROOT,
        "large",
        segments(runs, &chunked(8, ChunkMap::Indexes, &[])),
    );
    tree
}

/// Extended attributes of every length modulo 8 before the map.
fn odd_base() -> Tree {
    let mut tree = Tree::new(directory(&Layout::inline()));
    for (map, name) in MAPS {
        for extra in 0..8 {
            let node = file(extra, 9_000 + extra, &chunked(0, map, &[]));
            let node = node.with_xattr("user.x", vec![b'v'; extra as usize]);
            tree.add(Tree::ROOT, format!("{name}-{extra}"), node);
        }
    }
    tree
}
