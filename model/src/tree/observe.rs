// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Expected observation of a tree in an image with given options.

use std::collections::BTreeMap;

use super::{Kind, NodeId, Tree};
use crate::observation::{self, Entry, Listing, Observation, Span, Stat, Text};
use crate::write::{visible_body, Body, ImageOptions};

/// Contents are digested in pieces of this many bytes.
const PIECE: u64 = 1 << 16;

impl Tree {
    /// Returns the observation that every reader of `write(self, options)` must produce.
    ///
    /// Only directory sizes and hole maps depend on the options.
    pub fn observation(&self, options: &ImageOptions) -> Observation {
        let mut seen = Observation::new();
        let mut identities = BTreeMap::new();
        let observer = Observer {
            tree: self,
            options,
            links: self.link_counts(),
            parents: self.parents(),
        };
        let mut pending = vec![(Vec::new(), Self::ROOT)];
        while let Some((path, id)) = pending.pop() {
            let entry = observer.entry(id);
            if let Some(Ok(content)) = &entry.content {
                seen.bytes += content.bytes;
            }
            for (name, child) in self.entries(id) {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                pending.push((below, child));
            }
            identities.insert(Text(path.clone()), id);
            seen.entries.insert(Text(path), entry);
        }
        seen.group_by(|path| identities.get(path).copied());
        seen
    }
}

struct Observer<'a> {
    tree: &'a Tree,
    options: &'a ImageOptions,
    links: Vec<u32>,
    parents: Vec<Option<NodeId>>,
}

impl Observer<'_> {
    fn entry(&self, id: NodeId) -> Entry {
        let node = self.tree.node(id);
        let xattrs = node.xattrs.iter();
        Entry {
            stat: Ok(self.stat(id)),
            xattrs: Ok(xattrs
                .map(|(name, value)| (Text(name.clone()), Ok(Text(value.clone()))))
                .collect()),
            target: match &node.kind {
                Kind::Symlink(target) => Some(Ok(Text(target.clone()))),
                _ => None,
            },
            listing: node.is_directory().then(|| Listing {
                names: self
                    .tree
                    .entries(id)
                    .map(|(name, _)| Text(name.to_vec()))
                    .collect(),
                ended: None,
            }),
            content: match &node.kind {
                Kind::File(content) => Some(Ok(digest(content))),
                _ => None,
            },
            data: match &node.kind {
                Kind::File(content) => Some(Ok(self.spans(id, content))),
                _ => None,
            },
        }
    }

    fn stat(&self, id: NodeId) -> Stat {
        let node = self.tree.node(id);
        let size = match &node.kind {
            Kind::Directory(_) => {
                let parent = self.parents[id.index()].unwrap_or(Tree::ROOT);
                let dot = !node.layout.dot_omitted;
                crate::write::pack(self.tree, id, parent, dot, self.options.block_bits).size
            }
            Kind::File(content) => content.len(),
            Kind::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        let rdev = match &node.kind {
            Kind::Character(number) | Kind::Block(number) => (number.major, number.minor),
            _ => (0, 0),
        };
        Stat {
            kind: kind(&node.kind),
            mode: u32::from(node.permissions & 0o7777),
            uid: node.uid,
            gid: node.gid,
            rdev,
            size,
            nlink: u64::from(self.links[id.index()]),
            mtime: (node.mtime.seconds, node.mtime.nanoseconds),
            group: None,
        }
    }

    /// Data ranges. Plain and inline files are data throughout; a chunk without written bytes is a
    /// hole.
    fn spans(&self, id: NodeId, content: &super::Content) -> Vec<Span> {
        let size = content.len();
        let mut spans: Vec<Span> = Vec::new();
        let links = self.links[id.index()];
        let step = match visible_body(self.tree.node(id), size, links, self.options) {
            Body::Empty | Body::Null => return spans,
            Body::Plain(_) | Body::Inline { .. } => {
                spans.push(Span {
                    start: 0,
                    end: size,
                });
                return spans;
            }
            Body::Chunked(chunks) => self.options.block_size() << chunks.bits,
        };
        let mut start = 0;
        while start < size {
            let end = (start + step).min(size);
            if !content.is_hole(start..end) {
                match spans.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => spans.push(Span { start, end }),
                }
            }
            start = end;
        }
        spans
    }
}

fn kind(kind: &Kind) -> observation::Kind {
    match kind {
        Kind::Directory(_) => observation::Kind::Directory,
        Kind::File(_) => observation::Kind::Regular,
        Kind::Symlink(_) => observation::Kind::Symlink,
        Kind::Character(_) => observation::Kind::Character,
        Kind::Block(_) => observation::Kind::Block,
        Kind::Fifo => observation::Kind::Fifo,
        Kind::Socket => observation::Kind::Socket,
    }
}

fn digest(content: &super::Content) -> observation::Content {
    let mut digester = observation::Digester::default();
    let mut buffer = vec![0; PIECE as usize];
    let mut done = 0;
    while done < content.len() {
        let count = (content.len() - done).min(PIECE);
        let piece = &mut buffer[..count as usize];
        content.read_at(done, piece);
        digester.update(piece);
        done += count;
    }
    digester.finish()
}
