// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with inodes in the metabox (docs/spec/erofs-format.md sections 1 and 5.5).

use super::trees::{chunked, directory, fill, sparse};
use super::{sample_image, SampleImage};
use crate::tree::{ChunkMap, Layout, Tree};
use crate::write::{DeviceOptions, ImageOptions, LongPrefix, PrefixPlace, SharedXattrs};

pub(super) fn samples() -> Vec<SampleImage> {
    let with = |bits, layout| ImageOptions {
        metabox: Some(layout),
        ..ImageOptions::with_block_bits(bits)
    };
    let prefixes = vec![LongPrefix {
        base: 1,
        infix: b"label.".to_vec(),
    }];
    let scattered = ImageOptions {
        shuffle: Some(6),
        ..with(9, chunked(0, ChunkMap::Indexes, &[]))
    };
    let beside = with(12, chunked(0, ChunkMap::Indexes48, &[1, 0]));
    vec![
        sample_image(
            "metabox-plain",
            "a plain metabox",
            tree(4096, false),
            with(12, Layout::plain()),
        ),
        sample_image(
            "metabox-inline",
            "a metabox with an inline tail",
            tree(4096, false),
            with(12, Layout::inline().extended()),
        ),
        sample_image(
            "metabox-512",
            "a metabox in blocks of 512 bytes",
            tree(512, false),
            with(9, Layout::inline()),
        ),
        sample_image(
            "metabox-chunked",
            "a metabox in shuffled chunks",
            tree(512, false),
            scattered,
        ),
        sample_image(
            "metabox-device",
            "a metabox whose chunks are partly on a blob",
            tree(4096, false),
            ImageOptions {
                devices: vec![DeviceOptions {
                    tag: b"blob".to_vec(),
                    ..DeviceOptions::default()
                }],
                ..beside
            },
        ),
        sample_image(
            "metabox-root",
            "everything is in the metabox, the root too",
            tree(4096, true),
            with(12, Layout::plain()),
        ),
        sample_image(
            "metabox-xattr",
            "shared attributes are in the metabox",
            tree(4096, false),
            ImageOptions {
                shared_xattrs: SharedXattrs::Metabox,
                ..with(12, Layout::plain())
            },
        ),
        sample_image(
            "metabox-xattr-outside",
            "a metabox, but shared attributes on the primary device",
            tree(4096, false),
            ImageOptions {
                shared_xattrs: SharedXattrs::Primary,
                filter: true,
                ..with(12, Layout::plain())
            },
        )
        .seen_otherwise_by_c(
            "Linux 6.18 loses shared attributes of an inode in the metabox when both are in pages of one number: it \
             goes on with the metabox's page",
        ),
        sample_image(
            "metabox-prefix",
            "long prefixes and shared attributes in the metabox",
            tree(512, true),
            ImageOptions {
                prefixes,
                prefix_place: PrefixPlace::Metabox,
                shared_xattrs: SharedXattrs::Metabox,
                ..with(9, Layout::inline())
            },
        ),
    ]
}

/// Inodes of every layout in the metabox and, unless `all`, the same outside of it.
fn tree(block: u64, all: bool) -> Tree {
    let layouts = [
        ("plain", Layout::plain()),
        ("inline", Layout::inline()),
        ("extended", Layout::inline().extended()),
        ("blocks", chunked(0, ChunkMap::Blocks, &[])),
        ("indexes", chunked(1, ChunkMap::Indexes48, &[])),
    ];
    let root = directory(&Layout {
        metabox: all,
        ..Layout::inline()
    });
    let mut tree = Tree::new(root.with_xattr("user.label.x", "root"));
    for (name, layout) in layouts {
        let inside = layout.clone().in_metabox();
        let sub = directory(&inside)
            .with_xattr("user.label.x", "below")
            .with_xattr("user.y", name);
        let sub = tree.add(Tree::ROOT, format!("{name}-inside"), sub);
        fill(&mut tree, sub, block, &inside);
        let marked = sparse(3, 2 * block, &inside)
            .with_xattr("user.label.x", "below")
            .with_xattr("trusted.z", vec![7; 90]);
        tree.add(sub, "sparse", marked);
        if !all {
            let outside = tree.add(Tree::ROOT, format!("{name}-outside"), directory(&layout));
            fill(&mut tree, outside, block, &layout);
        }
    }
    tree
}
