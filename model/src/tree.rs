// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A described tree: the contents of an image before layout.
//!
//! A [`Tree`] is the known truth of a comparison. The image writer lays it out ([`crate::write`]),
//! [`Tree::write_to_directory`] creates it on disk for `mkfs.erofs`, and [`Tree::observation`]
//! returns the view that every reader must have of it.

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

/// Maximum length of the name of a directory entry or an extended attribute, in bytes
/// (docs/spec/erofs-format.md section 11).
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

/// Identifier of a node in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl NodeId {
    /// Position in [`Tree::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// Type and contents of a node.
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

/// A node: attributes, contents, and storage options for the image writer.
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
    /// Storage options for the writer. Readers must not depend on them.
    pub layout: Layout,
}

impl Node {
    /// Creates a node: mode 0755 for directories and 0644 otherwise, owned by root, at time 0.
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

    /// Sets the layout.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Adds an extended attribute.
    #[must_use]
    pub fn with_xattr(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.xattrs.insert(name.into(), value.into());
        self
    }

    /// Full mode: type and permissions.
    pub fn mode(&self) -> u16 {
        self.kind.type_bits() | (self.permissions & 0o7777)
    }

    /// True if the node is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

/// A tree of nodes below a root directory. A node with several names is a hard link.
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

    /// A tree that contains only this root.
    ///
    /// # Panics
    /// When `root` is not an empty directory, which is a mistake of the test that describes the
    /// tree.
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
    /// When `parent` is not a directory, the name is taken or invalid, or `node` is a directory
    /// with entries.
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

    /// Adds a name for `target`, which is not a directory.
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

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns a node for modification. Do not replace the kind of a directory: its descendants
    /// would be orphaned.
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

    /// Number of nodes; hard links count once.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if the root is the only node.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Entries of a directory; empty for other nodes.
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

    /// Parent of every directory (the root is its own parent); `None` for other nodes.
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

/// True if a directory entry may have this name: 1..=255 bytes, no `/`, no NUL, not `.` or `..`.
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
