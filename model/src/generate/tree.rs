// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated trees.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, Index};

use crate::tree::{
    acl, is_sound_name, AclEntry, ChunkMap, Chunks, Content, DataForm, DeviceNumber, InodeForm,
    Kind, Layout, Node, NodeId, Segment, Time, Tree,
};
use crate::write::ImageOptions;

/// Distribution of a generated tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeShape {
    /// Sizes cluster around multiples of `1 << block_bits`.
    pub block_bits: u8,
    /// Times are often at or just after this epoch.
    pub epoch: i64,
    /// Nanoseconds often have this value.
    pub nanoseconds: u32,
    /// Longest value of an extended attribute, at most 65535.
    pub xattr_max: usize,
    /// Maximum number of nodes, not counting the entries of a crowded directory.
    pub nodes: usize,
    /// Allow times before 1901 and after 2446, which some file systems cannot store.
    pub far_times: bool,
}

impl TreeShape {
    /// Distribution for an image with these options, limited only by the format.
    pub fn for_image(options: &ImageOptions) -> Self {
        TreeShape {
            block_bits: options.block_bits,
            epoch: options.epoch,
            nanoseconds: options.fixed_nsec,
            xattr_max: 65_535,
            nodes: 24,
            far_times: true,
        }
    }

    /// Distribution for a tree that is created on disk: small attributes, and times that every file
    /// system can store.
    pub fn for_disk(block_bits: u8) -> Self {
        TreeShape {
            block_bits,
            epoch: 0,
            nanoseconds: 0,
            xattr_max: 300,
            nodes: 24,
            far_times: false,
        }
    }
}

/// Generates any layout with chunk bits below `bits`.
pub(super) fn layout(bits: u8) -> impl Strategy<Value = Layout> {
    let map = select(vec![
        ChunkMap::Blocks,
        ChunkMap::Indexes,
        ChunkMap::Indexes48,
    ]);
    let bits = prop_oneof![9 => 0..bits, 1 => Just(31_u8)];
    let chunks = (bits, map, vec(0_u16..5, 0..4), any::<bool>()).prop_map(
        |(bits, map, devices, unified)| Chunks {
            bits,
            map,
            devices,
            unified,
        },
    );
    let data = prop_oneof![
        2 => Just(DataForm::Inline),
        1 => Just(DataForm::Plain),
        2 => chunks.prop_map(DataForm::Chunked),
    ];
    let inode = select(vec![
        InodeForm::Compact,
        InodeForm::CompactOneLink,
        InodeForm::Extended,
    ]);
    let rarely = || prop::bool::weighted(0.2);
    let limit = prop_oneof![6 => Just(0_u16), 1 => 1_u16..4];
    (
        inode,
        data,
        0_u16..4,
        rarely(),
        any::<bool>(),
        rarely(),
        limit,
    )
        .prop_map(
            |(inode, data, device, dot_omitted, metabox, straddle, entries_per_block)| Layout {
                inode,
                data,
                device,
                dot_omitted,
                metabox,
                straddle,
                entries_per_block,
            },
        )
}

/// Generates a name of 1 to 255 bytes, rarely a taken or invalid one, which [`add_node`] skips.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let any_byte = 1_u8..;
    prop_oneof![
        4 => "[a-c]{1,3}".prop_map(String::into_bytes),
        2 => vec(any_byte.clone(), 1..=12),
        1 => (b'!'..=b'-', vec(any_byte.clone(), 0..4)).prop_map(|(first, mut rest)| {
            rest.insert(0, first);
            rest
        }),
        1 => (any_byte, 250_usize..=255).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// Generates a size near the boundaries of an image with this block size.
fn size(block_bits: u8) -> impl Strategy<Value = u64> {
    let block = 1_u64 << block_bits;
    let nearby = (0_u64..5, 0_u64..8, -70_i64..=2).prop_map(move |(whole, bits, more)| {
        ((whole * block) << (bits % 3)).saturating_add_signed(more)
    });
    prop_oneof![
        1 => Just(0_u64),
        2 => 1_u64..100,
        4 => nearby,
        2 => 0..4 * block,
        1 => select(vec![block - 1, block, block + 1, 4 * block - 1, 4 * block, 4 * block + 1]),
    ]
}

fn content(block_bits: u8) -> impl Strategy<Value = Content> {
    let segment = (size(block_bits), 0_u8..4, 0_u64..4).prop_map(|(len, kind, seed)| match kind {
        0 | 1 => Segment::Hole(len),
        2 => Segment::Data(vec![seed as u8; len as usize]),
        _ => Segment::Pattern { seed, len },
    });
    prop_oneof![
        3 => (size(block_bits), 0_u64..4).prop_map(|(len, seed)| Content::pattern(seed, len)),
        1 => size(block_bits).prop_map(Content::hole),
        2 => vec(segment, 0..6).prop_map(Content::new),
    ]
}

/// An addition to the tree under one name.
#[derive(Clone, Debug)]
enum Addition {
    Node(Kind),
    /// A hard link to an existing node.
    Link(Index),
    /// A directory with this many names of about this length.
    FullDirectory(u16, u8),
}

fn addition(block_bits: u8) -> impl Strategy<Value = Addition> {
    let number =
        (0_u32..=0xfff, 0_u32..=0xf_ffff).prop_map(|(major, minor)| DeviceNumber { major, minor });
    let block = 1_usize << block_bits;
    let length = prop_oneof![
        3 => 1_usize..60,
        1 => block.saturating_sub(120)..=block + 1,
        1 => Just(4095_usize),
    ];
    let target = (1_u8.., length).prop_map(|(byte, len)| Kind::Symlink(vec![byte; len.min(4095)]));
    prop_oneof![
        4 => Just(Addition::Node(Kind::directory())),
        8 => content(block_bits).prop_map(|content| Addition::Node(Kind::File(content))),
        3 => target.prop_map(Addition::Node),
        1 => number.clone().prop_map(|number| Addition::Node(Kind::Character(number))),
        1 => number.prop_map(|number| Addition::Node(Kind::Block(number))),
        1 => select(vec![Kind::Fifo, Kind::Socket]).prop_map(Addition::Node),
        2 => any::<Index>().prop_map(Addition::Link),
        1 => (1_u16..200, 1_u8..60).prop_map(|(count, len)| Addition::FullDirectory(count, len)),
    ]
}

type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

fn xattrs(max: usize) -> impl Strategy<Value = Xattrs> {
    let rest = prop_oneof![
        5 => select(vec!["a", "a.", "a.b.", "a.b.c", "a.b.c.d", "z"]).prop_map(|text| text.as_bytes().to_vec()),
        2 => vec(1_u8.., 1..20),
        1 => Just(vec![b'n'; 246]),
    ];
    // The suffix after `security.` avoids names that the kernel interprets.
    let full =
        (select(vec!["user.", "trusted.", "security.ond-"]), rest).prop_map(|(prefix, rest)| {
            let mut name = prefix.as_bytes().to_vec();
            name.extend(rest);
            name.truncate(255);
            name
        });
    let value = prop_oneof![
        4 => select(vec!["", "v", "value", "a longer value"]).prop_map(|text| text.as_bytes().to_vec()),
        4 => vec(any::<u8>(), 0..64),
        1 => (any::<u8>(), 0..=max).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop_oneof![2 => Just(Xattrs::new()), 3 => btree_map(full, value, 0..4)]
}

/// Permissions, owner, group, time, named ACL entry, attributes, layout.
type NodeAttributes = (u16, u32, u32, Time, Option<(u32, u16)>, Xattrs, Layout);

fn attributes(shape: TreeShape) -> impl Strategy<Value = NodeAttributes> {
    let id = || prop_oneof![4 => Just(0_u32), 2 => 1_u32..3000, 1 => select(vec![65_535, 65_536, u32::MAX - 1])];
    // ext4 truncates earlier times, and the nanoseconds of the first second.
    let far = if shape.far_times {
        1_i64 << 40
    } else {
        (1 << 31) - 1
    };
    let seconds = prop_oneof![
        4 => Just(shape.epoch),
        2 => (0_i64..1 << 31).prop_map(move |age| shape.epoch.saturating_add(age)),
        1 => -far..far,
        1 => select(vec![-1_i64, 0, i64::from(i32::MAX), -far]),
    ];
    let nanoseconds = prop_oneof![4 => Just(shape.nanoseconds), 1 => 0_u32..1_000_000_000];
    let time = (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Time {
        seconds,
        nanoseconds,
    });
    let named = prop::option::weighted(0.1, (0_u32..70_000, 0_u16..8));
    (
        0_u16..=0o7777,
        id(),
        id(),
        time,
        named,
        xattrs(shape.xattr_max),
        layout(4),
    )
}

fn node_with(
    kind: Kind,
    (permissions, uid, gid, mtime, named, xattrs, layout): NodeAttributes,
) -> Node {
    let mut node = Node {
        permissions,
        uid,
        gid,
        mtime,
        xattrs,
        layout,
        ..Node::new(kind)
    };
    let plain = matches!(node.kind, Kind::File(_) | Kind::Directory(_));
    if !plain {
        // The VFS allows `user.` attributes on files and directories only.
        node.xattrs.retain(|name, _| !name.starts_with(b"user."));
    }
    if matches!(node.kind, Kind::Symlink(_)) {
        node.permissions = 0o777;
    }
    if let (true, Some((id, permissions))) = (plain, named) {
        let value = acl(node.permissions, &[AclEntry::User(id, permissions)]);
        if node.is_directory() {
            node.xattrs
                .insert(b"system.posix_acl_default".to_vec(), value.clone());
        }
        node.xattrs
            .insert(b"system.posix_acl_access".to_vec(), value);
    }
    node
}

/// Adds one node unless its name is taken or invalid.
fn add_node(
    tree: &mut Tree,
    at: Index,
    name: &[u8],
    addition: Addition,
    attributes: NodeAttributes,
) {
    let pick = |tree: &Tree, index: Index, directory: bool| -> Option<NodeId> {
        let fit = |(id, node): (NodeId, &Node)| (node.is_directory() == directory).then_some(id);
        let all: Vec<NodeId> = tree.nodes().filter_map(fit).collect();
        (!all.is_empty()).then(|| *index.get(&all))
    };
    let parent = pick(tree, at, true).unwrap_or(Tree::ROOT);
    if !is_sound_name(name) || tree.entries(parent).any(|(taken, _)| taken == name) {
        return;
    }
    match addition {
        Addition::Node(kind) => {
            tree.add(parent, name, node_with(kind, attributes));
        }
        Addition::Link(index) => {
            if let Some(target) = pick(tree, index, false) {
                tree.link(parent, name, target);
            }
        }
        Addition::FullDirectory(count, len) => {
            let full = tree.add(parent, name, node_with(Kind::directory(), attributes));
            let member = tree.add(full, "member", Node::new(Kind::Fifo));
            for number in 0..count {
                let pad = usize::from(len) + usize::from(number % 7);
                tree.link(full, format!("{number:x}-{}", "p".repeat(pad)), member);
            }
        }
    }
}

/// Generates any tree of this distribution.
pub fn tree(shape: TreeShape) -> impl Strategy<Value = Tree> {
    let step = (
        any::<Index>(),
        name(),
        addition(shape.block_bits),
        attributes(shape),
    );
    (attributes(shape), vec(step, 0..shape.nodes)).prop_map(|(root, steps)| {
        let mut tree = Tree::new(node_with(Kind::directory(), root));
        for (at, name, addition, attributes) in steps {
            add_node(&mut tree, at, &name, addition, attributes);
        }
        tree
    })
}
