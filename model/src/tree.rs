// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A described tree: what an image is to hold, before anything is laid out.
//!
//! A [`Tree`] is the common ancestor of every comparison that starts from a known truth. The image writer lays it
//! out ([`crate::write`]), [`Tree::write_to_directory`] makes it real so that `mkfs.erofs` can pack the same thing,
//! and [`Tree::observation`] says what any reader must then see.

mod acl;
mod content;
mod disk;
mod layout;
mod observe;

use std::collections::BTreeMap;

pub use acl::{acl, AclEntry};
pub(crate) use content::mix;
pub use content::{Content, Segment};
pub use disk::MaterialiseError;
pub use layout::{ChunkMap, Chunks, DataForm, InodeForm, Layout};

/// Longest name of a directory entry and of an extended attribute, in bytes (section 11).
pub const NAME_MAX: usize = 255;

/// A point in time: seconds since 1970 (may be negative) and nanoseconds of that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds, 0..=999 999 999 in a sound tree.
    pub nanoseconds: u32,
}

/// A device number as a character or block device node carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Major number, at most 0xfff on disk.
    pub major: u32,
    /// Minor number, at most 0xf_ffff on disk.
    pub minor: u32,
}

/// Which node of its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl NodeId {
    /// Position in [`Tree::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory and its entries by name; `.` and `..` are implied.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, 1..=4095 bytes without NUL in a sound tree.
    Symlink(Vec<u8>),
    /// A character device.
    Character(DeviceNumber),
    /// A block device.
    Block(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// An empty directory.
    pub fn directory() -> Self {
        Kind::Directory(BTreeMap::new())
    }

    /// A regular file that holds `bytes`.
    pub fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Kind::File(Content::from_bytes(bytes))
    }

    /// The `S_IFMT` part of the mode.
    pub fn type_bits(&self) -> u16 {
        match self {
            Kind::Directory(_) => 0o040_000,
            Kind::File(_) => 0o100_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::Character(_) => 0o020_000,
            Kind::Block(_) => 0o060_000,
            Kind::Fifo => 0o010_000,
            Kind::Socket => 0o140_000,
        }
    }
}

/// A node: its attributes, what it is, and how the image writer is asked to store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Permission bits with set-id and sticky: the low 12 bits of the mode.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Extended attributes by full name (`user.x`, `system.posix_acl_access`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Type and contents.
    pub kind: Kind,
    /// How the writer is asked to store it; no reader's business.
    pub layout: Layout,
}

impl Node {
    /// A node of the given kind: mode 0755 for directories and 0644 for the rest, root's, at time 0.
    pub fn new(kind: Kind) -> Self {
        let permissions = match kind {
            Kind::Directory(_) => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        Node {
            permissions,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: BTreeMap::new(),
            kind,
            layout: Layout::default(),
        }
    }

    /// The same node with this layout.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The same node with one more extended attribute.
    #[must_use]
    pub fn with_xattr(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.xattrs.insert(name.into(), value.into());
        self
    }

    /// Full mode: type and permissions.
    pub fn mode(&self) -> u16 {
        self.kind.type_bits() | (self.permissions & 0o7777)
    }

    /// Whether the node is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

/// A tree of nodes below one root directory. A node under several names is a hard link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::new(Node::new(Kind::directory()))
    }
}

impl Tree {
    /// The root directory of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree with this root and nothing in it.
    ///
    /// # Panics
    /// When `root` is not an empty directory: a description is written by a test, and that is its mistake.
    pub fn new(root: Node) -> Self {
        assert!(
            matches!(&root.kind, Kind::Directory(entries) if entries.is_empty()),
            "the root is an empty directory"
        );
        Tree { nodes: vec![root] }
    }

    /// Adds `node` under `name` in the directory `parent`.
    ///
    /// # Panics
    /// When `parent` is no directory, the name is taken or impossible, or `node` is a directory with entries.
    pub fn add(&mut self, parent: NodeId, name: impl AsRef<[u8]>, node: Node) -> NodeId {
        if let Kind::Directory(entries) = &node.kind {
            assert!(
                entries.is_empty(),
                "entries are added after their directory"
            );
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.enter(parent, name.as_ref(), id);
        id
    }

    /// Gives `target`, which is not a directory, one more name.
    ///
    /// # Panics
    /// As [`Tree::add`], and when `target` is a directory.
    pub fn link(&mut self, parent: NodeId, name: impl AsRef<[u8]>, target: NodeId) {
        assert!(
            !self.node(target).is_directory(),
            "a directory has one name"
        );
        self.enter(parent, name.as_ref(), target);
    }

    fn enter(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        assert!(
            is_sound_name(name),
            "impossible name {:?}",
            name.escape_ascii().to_string()
        );
        let Kind::Directory(entries) = &mut self.nodes[parent.0].kind else {
            panic!(
                "the parent of {:?} is not a directory",
                name.escape_ascii().to_string()
            );
        };
        let earlier = entries.insert(name.to_vec(), id);
        assert!(
            earlier.is_none(),
            "{:?} is taken",
            name.escape_ascii().to_string()
        );
    }

    /// The node itself.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node itself, to be changed. Replacing a directory's kind would orphan what is below: do not.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// All nodes, the root first, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (NodeId(index), node))
    }

    /// How many nodes there are; hard links count once.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Entries of a directory; nothing for other nodes.
    pub fn entries(&self, id: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        let entries = match &self.node(id).kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        };
        entries
            .into_iter()
            .flatten()
            .map(|(name, child)| (name.as_slice(), *child))
    }

    /// Link count of every node: names for a non-directory, 2 plus subdirectories for a directory.
    pub fn link_counts(&self) -> Vec<u32> {
        let mut counts = vec![0_u32; self.nodes.len()];
        for (id, node) in self.nodes() {
            if node.is_directory() {
                counts[id.0] += 2;
            }
            for (_, child) in self.entries(id) {
                if self.node(child).is_directory() {
                    counts[id.0] += 1;
                } else {
                    counts[child.0] += 1;
                }
            }
        }
        counts
    }

    /// Parent directory of every directory (the root's is the root); `None` for other nodes.
    pub fn parents(&self) -> Vec<Option<NodeId>> {
        let mut parents = vec![None; self.nodes.len()];
        parents[0] = Some(Self::ROOT);
        for (id, _) in self.nodes() {
            for (_, child) in self.entries(id) {
                if self.node(child).is_directory() {
                    parents[child.0] = Some(id);
                }
            }
        }
        parents
    }
}

/// Whether a directory entry may have this name: 1..=255 bytes, no `/`, no NUL, not `.` or `..`.
pub fn is_sound_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.contains(&b'/')
        && !name.contains(&0)
        && name != b"."
        && name != b".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_by_name_and_directories_by_children() {
        let mut tree = Tree::default();
        let sub = tree.add(Tree::ROOT, "sub", Node::new(Kind::directory()));
        let file = tree.add(sub, "a", Node::new(Kind::file("x")));
        tree.link(Tree::ROOT, "b", file);
        assert_eq!(tree.link_counts(), [3, 2, 2]);
        assert_eq!(tree.parents(), [Some(Tree::ROOT), Some(Tree::ROOT), None]);
    }

    #[test]
    fn dot_names_are_refused() {
        assert!(!is_sound_name(b"."));
        assert!(!is_sound_name(b"a/b"));
        assert!(is_sound_name(b"..."));
        assert!(!is_sound_name(&[b'x'; 256]));
    }
}
