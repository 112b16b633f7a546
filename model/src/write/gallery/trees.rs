// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Trees of the sample images.

use crate::tree::{
    ChunkMap, Content, DataForm, DeviceNumber, Kind, Layout, Node, NodeId, Segment, Time, Tree,
};

/// File sizes around the boundaries of a block.
pub(super) fn boundary_sizes(block: u64) -> [u64; 8] {
    [
        0,
        1,
        block - 33,
        block - 1,
        block,
        block + 1,
        3 * block,
        3 * block + block / 2,
    ]
}

/// A regular file of pattern bytes.
pub(super) fn file(seed: u64, size: u64, layout: &Layout) -> Node {
    Node::new(Kind::File(Content::pattern(seed, size))).with_layout(layout.clone())
}

/// A regular file of these segments.
pub(super) fn segments(segments: Vec<Segment>, layout: &Layout) -> Node {
    Node::new(Kind::File(Content::new(segments))).with_layout(layout.clone())
}

/// An empty directory.
pub(super) fn directory(layout: &Layout) -> Node {
    Node::new(Kind::directory()).with_layout(layout.clone())
}

/// A symbolic link whose target has `length` bytes.
pub(super) fn link(length: usize, layout: &Layout) -> Node {
    let target = b"some/where/else/"
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect();
    Node::new(Kind::Symlink(target)).with_layout(layout.clone())
}

/// A tree with one of everything, stored with `layout`: files at the boundaries of a block, a
/// subdirectory, fast and slow links, special files.
pub(super) fn sample(block: u64, layout: &Layout) -> Tree {
    let mut tree = Tree::new(directory(layout));
    fill(&mut tree, Tree::ROOT, block, layout);
    tree
}

/// Adds the nodes of [`sample`] to a directory.
pub(super) fn fill(tree: &mut Tree, parent: NodeId, block: u64, layout: &Layout) {
    for size in boundary_sizes(block) {
        tree.add(parent, format!("file-{size}"), file(size, size, layout));
    }
    let sub = tree.add(parent, "sub", directory(layout));
    tree.add(sub, "empty", directory(layout));
    let twice = tree.add(sub, "twice", file(2, 100, layout));
    tree.link(parent, "also-twice", twice);
    tree.add(sub, "fast", link(11, layout));
    tree.add(sub, "slow", link(block.min(4095) as usize, layout));
    for (name, kind) in specials() {
        tree.add(sub, name, Node::new(kind).with_layout(layout.clone()));
    }
}

fn specials() -> [(&'static str, Kind); 4] {
    [
        ("null", Kind::Character(DeviceNumber { major: 1, minor: 3 })),
        (
            "disk",
            Kind::Block(DeviceNumber {
                major: 0xfff,
                minor: 0xf_ff01,
            }),
        ),
        ("pipe", Kind::Fifo),
        ("socket", Kind::Socket),
    ]
}

/// Data, hole, data, hole in runs of `run` bytes.
pub(super) fn sparse(seed: u64, run: u64, layout: &Layout) -> Node {
    let pattern = |n, len| Segment::Pattern {
        seed: seed + n,
        len,
    };
    let runs = vec![
        pattern(0, run),
        Segment::Hole(2 * run),
        pattern(1, run + 5),
        Segment::Hole(4 * run),
        Segment::Data(vec![0; run as usize]),
        pattern(2, 1),
        Segment::Hole(run - 1),
    ];
    segments(runs, layout)
}

/// A layout for chunks of `bits` on these devices.
pub(super) fn chunked(bits: u8, map: ChunkMap, devices: &[u16]) -> Layout {
    Layout::chunked(bits, map, devices)
}

/// The same, with extra devices addressed by unified block numbers.
pub(super) fn chunked_unified(bits: u8, map: ChunkMap, devices: &[u16]) -> Layout {
    let mut layout = Layout::chunked(bits, map, devices);
    if let DataForm::Chunked(chunks) = &mut layout.data {
        chunks.unified = true;
    }
    layout
}

/// Plain data on a device with a unified address.
pub(super) fn plain_on(device: u16) -> Layout {
    Layout {
        device,
        ..Layout::plain()
    }
}

/// Shorthand for a time.
pub(super) fn time(seconds: i64, nanoseconds: u32) -> Time {
    Time {
        seconds,
        nanoseconds,
    }
}
