// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with directories and symbolic links (docs/spec/erofs-format.md sections 6 and 7).

use super::trees::{chunked, directory, file, link};
use super::{sample_image, SampleImage};
use crate::tree::{is_sound_name, ChunkMap, Kind, Layout, Node, NodeId, Tree};
use crate::write::ImageOptions;

pub(super) fn samples() -> Vec<SampleImage> {
    let block = ImageOptions::with_block_bits;
    vec![
        sample_image(
            "names",
            "names of every byte, of 1 and of 255 bytes, before and after the dots",
            names(),
            block(12),
        ),
        sample_image(
            "names-512",
            "the same in blocks of 512 bytes",
            names(),
            block(9),
        ),
        sample_image(
            "large-directory",
            "2000 names in many blocks",
            large(&Layout::inline()),
            block(12),
        ),
        sample_image(
            "large-directory-512",
            "2000 names in blocks of 512 bytes",
            large(&Layout::plain()),
            block(9),
        ),
        sample_image(
            "chunked-directory",
            "a chunk-based directory of many blocks",
            large(&chunked(1, ChunkMap::Indexes, &[])),
            ImageOptions {
                shuffle: Some(4),
                ..block(10)
            },
        ),
        sample_image(
            "dot-omitted",
            "directories without a dot entry",
            dot_omitted(),
            block(9),
        ),
        sample_image(
            "sparse-blocks",
            "directory blocks of one and of two entries",
            sparse_blocks(),
            block(12),
        ),
        sample_image(
            "deep",
            "sixty directories within each other",
            deep(),
            block(9),
        ),
        sample_image(
            "symlinks",
            "links of all lengths, fast and slow",
            symlinks(),
            block(12),
        ),
        sample_image(
            "symlinks-512",
            "the same in blocks of 512 bytes",
            symlinks(),
            block(9),
        ),
    ]
}

fn empty_file() -> Node {
    file(0, 0, &Layout::inline())
}

fn add_names(tree: &mut Tree, parent: NodeId) {
    let single = (1..=255_u8).map(|byte| vec![byte]);
    let around = [
        "!", "!a", "-", "--", "-z", "...", ".a", "..a", ".-", "a", "a-", "aa", "ab",
    ];
    let long = [b'!', b'.', b'm', 0xff].map(|byte| vec![byte; 255]);
    let mut all: Vec<Vec<u8>> = single.chain(long).collect();
    all.extend(around.iter().map(|name| name.as_bytes().to_vec()));
    all.sort();
    all.dedup();
    for name in all.into_iter().filter(|name| is_sound_name(name)) {
        tree.add(parent, name, empty_file());
    }
}

fn names() -> Tree {
    let mut tree = Tree::default();
    add_names(&mut tree, Tree::ROOT);
    tree
}

fn large(layout: &Layout) -> Tree {
    let mut tree = Tree::new(directory(&Layout::inline()));
    let parent = tree.add(Tree::ROOT, "large", directory(layout));
    let shared = tree.add(parent, "the-file", file(1, 33, &Layout::inline()));
    for number in 0..2000_u32 {
        let pad = "x".repeat((number % 60) as usize);
        tree.link(
            parent,
            format!("{:08x}{pad}", number.wrapping_mul(0x9e37_79b1)),
            shared,
        );
    }
    tree
}

fn dot_omitted() -> Tree {
    let omitted = Layout {
        dot_omitted: true,
        ..Layout::inline()
    };
    let mut tree = Tree::new(directory(&omitted));
    add_names(&mut tree, Tree::ROOT);
    for (name, layout) in [
        ("empty", omitted.clone()),
        ("empty-extended", omitted.clone().extended()),
    ] {
        tree.add(Tree::ROOT, name, directory(&layout));
    }
    let plain = Layout {
        dot_omitted: true,
        ..Layout::plain()
    };
    let full = tree.add(Tree::ROOT, "full", directory(&plain));
    add_names(&mut tree, full);
    tree
}

fn sparse_blocks() -> Tree {
    let mut tree = Tree::default();
    for entries_per_block in [1, 2] {
        for (name, layout) in [("plain", Layout::plain()), ("inline", Layout::inline())] {
            let layout = Layout {
                entries_per_block,
                ..layout
            };
            let parent = tree.add(
                Tree::ROOT,
                format!("{name}-{entries_per_block}"),
                directory(&layout),
            );
            for name in ["!", "-", "a", "b", "c", "d", "e"] {
                tree.add(parent, name, empty_file());
            }
        }
    }
    tree
}

fn deep() -> Tree {
    let mut tree = Tree::default();
    let mut parent = Tree::ROOT;
    for level in 0..60 {
        tree.add(parent, "leaf", file(level, level * 40, &Layout::inline()));
        parent = tree.add(parent, format!("d{level}"), directory(&Layout::inline()));
    }
    tree
}

fn symlinks() -> Tree {
    let mut tree = Tree::default();
    let lengths = [
        1, 2, 31, 32, 33, 255, 440, 448, 479, 480, 481, 511, 512, 513, 1023, 4000, 4031, 4032,
        4063, 4064, 4065, 4095,
    ];
    for length in lengths {
        for (form, layout) in [("inline", Layout::inline()), ("plain", Layout::plain())] {
            tree.add(
                Tree::ROOT,
                format!("{form}-{length}"),
                link(length, &layout),
            );
            tree.add(
                Tree::ROOT,
                format!("{form}-extended-{length}"),
                link(length, &layout.extended()),
            );
        }
        let chunks = chunked(0, ChunkMap::Blocks, &[]);
        tree.add(
            Tree::ROOT,
            format!("chunked-{length}"),
            link(length, &chunks),
        );
        let marked =
            link(length, &Layout::inline()).with_xattr("trusted.mark", vec![b'm'; length % 61]);
        tree.add(Tree::ROOT, format!("marked-{length}"), marked);
    }
    let odd = Node::new(Kind::Symlink(b"\x01\xff \n\\//../.".to_vec()));
    tree.add(Tree::ROOT, "odd", odd);
    tree
}
