// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images of superblock, inodes and flat layouts (docs/spec/erofs-format.md sections 2, 4
//! and 5.1 to 5.3).

use super::trees::{directory, file, fill, link, sample, time};
use super::{sample_image, SampleImage};
use crate::tree::{Content, InodeForm, Kind, Layout, Node, Tree};
use crate::write::ImageOptions;

pub(super) fn samples() -> Vec<SampleImage> {
    let block = ImageOptions::with_block_bits;
    vec![
        sample_image(
            "plain-4k",
            "FLAT_PLAIN, blocks of 4 KiB",
            sample(4096, &Layout::plain()),
            block(12),
        ),
        sample_image(
            "inline-4k",
            "FLAT_INLINE, blocks of 4 KiB",
            sample(4096, &Layout::inline()),
            block(12),
        ),
        sample_image(
            "inline-2k",
            "blocks of 2 KiB",
            sample(2048, &Layout::inline()),
            block(11),
        ),
        sample_image(
            "inline-1k",
            "blocks of 1 KiB",
            sample(1024, &Layout::inline()),
            block(10),
        ),
        sample_image(
            "inline-512",
            "blocks of 512 bytes",
            sample(512, &Layout::inline()),
            block(9),
        ),
        sample_image(
            "plain-512",
            "FLAT_PLAIN, blocks of 512 bytes",
            sample(512, &Layout::plain()),
            block(9),
        ),
        sample_image(
            "extended",
            "extended inodes with every wide field in use",
            extended(),
            block(12),
        ),
        sample_image(
            "one-link",
            "compact inodes with NLINK_1",
            sample(
                4096,
                &Layout {
                    inode: InodeForm::CompactOneLink,
                    ..Layout::inline()
                },
            ),
            block(12),
        ),
        sample_image(
            "straddle",
            "extended inodes that begin in the last slot of a block",
            straddle(),
            block(9),
        ),
        sample_image(
            "epoch",
            "compact inodes whose time is an offset from the epoch",
            epoch(),
            ImageOptions {
                epoch: -5_000_000_000,
                fixed_nsec: 999_999_999,
                ..block(12)
            },
        ),
        sample_image(
            "null-start",
            "files that are one hole, in all three forms of inode",
            null_start(),
            block(12),
        ),
        sample_image(
            "dirty-tails",
            "bytes behind the end of files in their last block",
            sample(4096, &Layout::plain()),
            ImageOptions {
                dirty_tails: true,
                ..block(12)
            },
        ),
        sample_image(
            "dirty-reserved",
            "every reserved field is something",
            sample(2048, &Layout::inline().extended()),
            ImageOptions {
                dirty_reserved: true,
                ext_slots: 3,
                ..block(11)
            },
        ),
        sample_image(
            "superblock",
            "UUID, label that fills its field, build time, extension slots, no checksum",
            sample(4096, &Layout::inline()),
            ImageOptions {
                uuid: *b"ondine-uuid-0001",
                label: *b"sixteen-letters!",
                build_time: 1_700_000_000,
                ext_slots: 16,
                checksum: false,
                ..block(12)
            },
        ),
        sample_image(
            "inline-fit",
            "tails that end exactly with their block",
            inline_fit(),
            block(9),
        ),
    ]
}

fn extended() -> Tree {
    let layout = Layout::inline().extended();
    let mut tree = sample(4096, &layout);
    let wide = |seconds, nanoseconds| Node {
        uid: 0xfffe_0001,
        gid: 70_000,
        permissions: 0o6711,
        mtime: time(seconds, nanoseconds),
        ..file(9, 77, &layout)
    };
    for (name, seconds) in [
        ("before-1970", -1),
        ("long-ago", -62_000_000_000),
        ("late", 1 << 33),
    ] {
        tree.add(Tree::ROOT, name, wide(seconds, 999_999_999));
    }
    tree
}

fn straddle() -> Tree {
    let mut tree = Tree::default();
    for size in [0, 1, 100, 416, 448, 511, 512, 1000] {
        let layout = Layout {
            straddle: true,
            ..Layout::inline().extended()
        };
        tree.add(
            Tree::ROOT,
            format!("inline-{size}"),
            file(size, size, &layout),
        );
        let plain = Layout {
            straddle: true,
            ..Layout::plain().extended()
        };
        let node = file(size, size, &plain).with_xattr("user.here", vec![b'x'; size as usize]);
        tree.add(Tree::ROOT, format!("xattr-{size}"), node);
    }
    let layout = Layout {
        straddle: true,
        ..Layout::inline().extended()
    };
    let sub = tree.add(Tree::ROOT, "sub", directory(&layout));
    // The body ends 32 bytes into a block, so a link of 480 bytes is the longest that can be fast.
    for length in [1, 400, 479, 480, 481] {
        tree.add(sub, format!("link-{length}"), link(length, &layout));
    }
    tree
}

fn epoch() -> Tree {
    let mut tree = Tree::default();
    let base = -5_000_000_000;
    let node = |seconds, nanoseconds| Node {
        mtime: time(seconds, nanoseconds),
        ..file(1, 5, &Layout::inline())
    };
    tree.add(Tree::ROOT, "at-epoch", node(base, 999_999_999));
    tree.add(
        Tree::ROOT,
        "last",
        node(base + i64::from(u32::MAX), 999_999_999),
    );
    tree.add(
        Tree::ROOT,
        "too-late",
        node(base + i64::from(u32::MAX) + 1, 999_999_999),
    );
    tree.add(Tree::ROOT, "too-early", node(base - 1, 999_999_999));
    tree.add(Tree::ROOT, "another-nsec", node(base + 7, 0));
    tree
}

fn null_start() -> Tree {
    let mut tree = Tree::default();
    let forms = [
        InodeForm::Compact,
        InodeForm::CompactOneLink,
        InodeForm::Extended,
    ];
    for (inode, name) in forms.into_iter().zip(["compact", "one-link", "extended"]) {
        for size in [1, 4096, 1_000_000] {
            let layout = Layout {
                inode,
                ..Layout::plain()
            };
            let node = Node::new(Kind::File(Content::hole(size))).with_layout(layout);
            tree.add(Tree::ROOT, format!("{name}-{size}"), node);
        }
    }
    tree
}

/// Files and links whose tail leaves no byte, one byte or one slot of its block free.
fn inline_fit() -> Tree {
    let mut tree = Tree::default();
    for size in (448..=512).chain(960..=1024).step_by(3) {
        tree.add(
            Tree::ROOT,
            format!("file-{size}"),
            file(size, size, &Layout::inline()),
        );
    }
    for length in 440..=490 {
        tree.add(
            Tree::ROOT,
            format!("link-{length}"),
            link(length, &Layout::inline()),
        );
    }
    let sub = tree.add(Tree::ROOT, "sub", directory(&Layout::inline()));
    fill(&mut tree, sub, 512, &Layout::inline());
    tree
}
