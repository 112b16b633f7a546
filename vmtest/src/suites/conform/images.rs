// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The images of the scenarios: one tree, written in several ways. Each device is a file named by
//! its cookie key, which is what a mount asks a daemon for.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use ondine_model::tree::{ChunkMap, Content, Kind, Layout, Node, Tree};
use ondine_model::write::{write, DeviceOptions, ImageOptions, SparseBytes};

use super::matcher::{Blob, Blobs};

/// A bootstrap and the tags of its device slots.
struct Plan {
    /// Its cookie key.
    fsid: &'static str,
    tags: &'static [&'static str],
    block_bits: u8,
    /// Further device slots, whose blobs are not there.
    more_slots: usize,
    /// True if the image has an inode of two names far behind the others.
    far: bool,
    /// True if the chunk map of a file reaches beyond the first 128 KiB of metadata.
    wide_map: bool,
    /// True if the image has a metabox, on its first blob, and a symlink, whose target is on its second.
    boxed: bool,
}

const fn plan(fsid: &'static str, tags: &'static [&'static str]) -> Plan {
    Plan {
        fsid,
        tags,
        block_bits: 12,
        more_slots: 0,
        far: false,
        wide_map: false,
        boxed: false,
    }
}

/// `boot` is the usual one; `other` has its blobs; `solo` is alone; the root of `boxed` is in a metabox;
/// a mount refuses the others.
const PLANS: &[Plan] = &[
    plan("boot", &["data1", "data2"]),
    plan("other", &["data1", "data2"]),
    plan("solo", &[]),
    plan("twins", &["data1", "data1"]),
    plan("untagged", &["data1", ""]),
    Plan {
        block_bits: 9,
        ..plan("fine", &["fine1", "fine2"])
    },
    Plan {
        boxed: true,
        ..plan("boxed", &["box1", "box2"])
    },
    Plan {
        far: true,
        ..plan("far", &["data1", "data2"])
    },
    Plan {
        wide_map: true,
        ..plan("mapped", &["map1"])
    },
    Plan {
        more_slots: 1023,
        ..plan("crowded", &["data1", "data2"])
    },
];

/// Other names of a blob, for `device=`.
const ALIASES: &[(&str, &str)] = &[("alias1", "data1"), ("alias2", "data2")];

/// Writes the blobs into `blobs` and the tree into `tree`; which there are.
///
/// # Errors
/// When they cannot be written.
pub(super) fn write_all(blobs: &Path, tree: &Path) -> Result<Blobs> {
    fs::create_dir_all(blobs)?;
    fs::create_dir_all(tree)?;
    let content = content();
    let (linked, far, wide_map) = (linked(), far(), wide_map());
    linked.write_to_directory(tree)?;
    let mut mapped = vec![0; MAPPED as usize];
    Content::pattern(7, MAPPED).read_at(0, &mut mapped);
    fs::write(tree.join("map"), mapped)?;
    for plan in PLANS {
        let options = ImageOptions {
            label: label(plan.fsid),
            devices: plan.devices(),
            metabox: plan.boxed.then(|| chunked(0, &[1])),
            ..ImageOptions::with_block_bits(plan.block_bits)
        };
        let held = match plan {
            Plan { boxed: true, .. } => &linked,
            Plan { far: true, .. } => &far,
            Plan { wide_map: true, .. } => &wide_map,
            _ => &content,
        };
        let image = write(held, &options).with_context(|| plan.fsid.to_owned())?;
        store(&image.primary, &blobs.join(plan.fsid))?;
        for (tag, blob) in plan.tags.iter().zip(&image.blobs) {
            let file = blobs.join(tag);
            if !tag.is_empty() && !file.exists() {
                store(blob, &file)?;
            }
        }
    }
    for (alias, blob) in ALIASES {
        fs::copy(blobs.join(blob), blobs.join(alias))?;
    }
    fs::write(blobs.join("garbage"), [0x5a; 8192])?;
    let is_metadata = |name: &str| {
        PLANS
            .iter()
            .any(|plan| plan.fsid == name && !plan.tags.is_empty())
    };
    let all: Blobs = fs::read_dir(blobs)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let blob = Blob {
                size: entry.metadata()?.len(),
                is_metadata: is_metadata(&name),
            };
            Ok((name, blob))
        })
        .collect::<Result<_>>()?;
    ensure!(all.get("data1").is_some_and(|blob| blob.size > 2 << 20));
    Ok(all)
}

fn store(from: &SparseBytes, to: &Path) -> Result<()> {
    Ok(from.write_to(&File::create(to)?)?)
}

impl Plan {
    fn devices(&self) -> Vec<DeviceOptions> {
        let more = (0..self.more_slots).map(|slot| device(&format!("slot{slot}")));
        self.tags
            .iter()
            .map(|tag| device(tag))
            .chain(more)
            .collect()
    }
}

fn device(tag: &str) -> DeviceOptions {
    DeviceOptions {
        tag: tag.as_bytes().to_vec(),
        ..DeviceOptions::default()
    }
}

fn label(name: &str) -> [u8; 16] {
    let mut label = [0; 16];
    label[..name.len()].copy_from_slice(name.as_bytes());
    label
}

fn chunked(bits: u8, devices: &[u16]) -> Layout {
    Layout::chunked(bits, ChunkMap::Indexes, devices)
}

/// Builds the tree of every image: inline data, a file on each blob, a file on both, and a file that is longer
/// than a readahead window.
fn content() -> Tree {
    let pattern = |seed, size| Node::new(Kind::File(Content::pattern(seed, size)));
    let root = Node::new(Kind::directory()).with_layout(Layout {
        metabox: true,
        ..Layout::default()
    });
    let mut tree = Tree::new(root);
    tree.add(Tree::ROOT, "small", pattern(1, 100));
    let one = pattern(2, 2 << 20).with_layout(chunked(6, &[1]));
    tree.add(Tree::ROOT, "one", one);
    let two = pattern(3, (1 << 20) + 100).with_layout(chunked(6, &[2]));
    tree.add(Tree::ROOT, "two", two);
    let both = pattern(4, 512 << 10).with_layout(chunked(4, &[1, 2]));
    tree.add(Tree::ROOT, "both", both);
    let dir = tree.add(Tree::ROOT, "dir", Node::new(Kind::directory()));
    tree.add(dir, "nested", pattern(5, 3000));
    let long = pattern(6, 4 << 20).with_layout(chunked(6, &[1]));
    tree.add(Tree::ROOT, "long", long);
    tree
}

/// Builds the tree of [`content`] with a symlink.
fn linked() -> Tree {
    let mut tree = content();
    let link = Node::new(Kind::Symlink(b"small".to_vec())).with_layout(chunked(0, &[2]));
    tree.add(Tree::ROOT, "link", link);
    tree
}

/// Builds the tree of [`content`] with an empty file of two names, whose inode lies behind the first
/// 128 KiB of metadata.
fn far() -> Tree {
    let mut tree = content();
    tree.add(Tree::ROOT, "wide", wide(3));
    let file = tree.add(Tree::ROOT, "far", Node::new(Kind::file(Vec::new())));
    let dir = tree
        .entries(Tree::ROOT)
        .find(|(name, _)| *name == b"dir")
        .map(|(_, id)| id);
    if let Some(dir) = dir {
        tree.link(dir, "far", file);
    }
    tree
}

/// Bytes of the file of [`wide_map`].
const MAPPED: u64 = 8 << 20;

/// Builds a tree with a file of one chunk for each page, whose chunk map begins in the first 128 KiB of
/// metadata and ends in the next.
fn wide_map() -> Tree {
    let mut tree = Tree::new(Node::new(Kind::directory()));
    tree.add(Tree::ROOT, "before", wide(2));
    let file = Node::new(Kind::File(Content::pattern(7, MAPPED)));
    tree.add(Tree::ROOT, "map", file.with_layout(chunked(0, &[1])));
    tree
}

/// An empty file with `count` attributes of 60 KiB.
fn wide(count: usize) -> Node {
    let value = vec![0x5a; 60 << 10];
    (1..=count).fold(Node::new(Kind::file(Vec::new())), |node, n| {
        node.with_xattr(format!("user.{n}"), value.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_share_tags_share_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = write_all(&dir.path().join("b"), &dir.path().join("t")).unwrap();
        for name in ["boot", "other", "data1", "data2", "solo", "alias2", "fine1"] {
            assert!(sizes.contains_key(name), "{name}");
        }
        // The blobs of the first image serve the second: laid out alike.
        let tree = content();
        let of = |label_of| {
            let options = ImageOptions {
                label: label(label_of),
                devices: vec![device("data1"), device("data2")],
                ..ImageOptions::default()
            };
            write(&tree, &options).unwrap()
        };
        let (boot, other) = (of("boot"), of("other"));
        assert_eq!(boot.blobs, other.blobs);
        assert_ne!(boot.primary, other.primary);
    }
}
