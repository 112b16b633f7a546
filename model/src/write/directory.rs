// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Directory contents: sorted entries packed into blocks (docs/spec/erofs-format.md section 6).

use std::ops::Range;

use super::record::Record;
use crate::tree::{Kind, Node, NodeId, Tree};

const DIRENT: usize = 12;

/// Target of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Node(NodeId),
    Parent(NodeId),
}

/// Sorted entries of a directory and their distribution to blocks.
#[derive(Debug)]
pub(crate) struct Packed {
    names: Vec<(Vec<u8>, Goal)>,
    blocks: Vec<Range<usize>>,
    block_size: usize,
    /// Length of the contents in bytes.
    pub(crate) size: u64,
}

/// Packs the directory `id`, including `.` if `dot` is set.
pub(crate) fn pack(tree: &Tree, id: NodeId, parent: NodeId, dot: bool, block_bits: u8) -> Packed {
    let block_size = 1_usize << block_bits;
    let mut names: Vec<(Vec<u8>, Goal)> = tree
        .entries(id)
        .map(|(name, child)| (name.to_vec(), Goal::Node(child)))
        .collect();
    names.push((b"..".to_vec(), Goal::Parent(parent)));
    if dot {
        names.push((b".".to_vec(), Goal::Node(id)));
    }
    names.sort_by(|left, right| left.0.cmp(&right.0));
    let limit = match tree.node(id).layout.entries_per_block {
        0 => usize::MAX,
        limit => usize::from(limit),
    };
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut used = 0;
    for (index, (name, _)) in names.iter().enumerate() {
        let need = DIRENT + name.len();
        match blocks.last_mut() {
            Some(last) if used + need <= block_size && last.len() < limit => {
                last.end = index + 1;
                used += need;
            }
            _ => {
                blocks.push(index..index + 1);
                used = need;
            }
        }
    }
    let full = blocks.len().saturating_sub(1) * block_size;
    Packed {
        names,
        blocks,
        block_size,
        size: (full + used) as u64,
    }
}

impl Packed {
    /// Builds the contents once every node has a nid.
    pub(super) fn build(&self, tree: &Tree, nid: impl Fn(NodeId) -> u64, filler: u8) -> Record {
        let mut contents = Record::new();
        for block in &self.blocks {
            contents.align(self.block_size);
            let entries = &self.names[block.clone()];
            let mut nameoff = entries.len() * DIRENT;
            for (name, goal) in entries {
                let (Goal::Node(id) | Goal::Parent(id)) = *goal;
                contents.u64("dirent.nid", nid(id));
                contents.u16("dirent.nameoff", nameoff as u16);
                contents.u8("dirent.file_type", type_code(tree.node(id)));
                contents.reserved(1, filler);
                nameoff += name.len();
            }
            for (name, _) in entries {
                // A site per name, on its first byte, is enough to plant a slash or a NUL.
                contents.u8("dirent.name", name[0]);
                contents.raw(&name[1..]);
            }
        }
        contents
    }
}

/// `file_type` of an entry.
fn type_code(node: &Node) -> u8 {
    match node.kind {
        Kind::File(_) => 1,
        Kind::Directory(_) => 2,
        Kind::Character(_) => 3,
        Kind::Block(_) => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_take_their_sorted_place_and_blocks_fill_up() {
        let mut tree = Tree::default();
        for name in ["!x", "-", "a", &"b".repeat(255), &"c".repeat(255)] {
            tree.add(Tree::ROOT, name, Node::new(Kind::Fifo));
        }
        let packed = pack(&tree, Tree::ROOT, Tree::ROOT, true, 9);
        let order: Vec<&[u8]> = packed.names.iter().map(|(name, _)| &name[..1]).collect();
        assert_eq!(order, [b"!", b"-", b".", b".", b"a", b"b", b"c"]);
        assert_eq!(packed.blocks, [0..6, 6..7]);
        assert_eq!(packed.size, 512 + 267);
        let contents = packed.build(&tree, |id| id.index() as u64, 0);
        assert_eq!(contents.len() as u64, packed.size);
        assert_eq!(contents.bytes[8..10], 72_u16.to_le_bytes());
    }
}
