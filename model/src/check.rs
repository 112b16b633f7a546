// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Findings about an image as a whole: every defect, not only the first that an operation meets.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::observation::{Errno, Kind, Text};
use crate::read::{Fault, Image, Inode, Layout, Source};
use crate::strictness::Defect;

/// A defect, or a remark worth reporting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first path that reaches it; `None` for a finding about the whole image.
    pub path: Option<Text>,
    /// The row of [`crate::strictness`]; `None` when a file could not be read.
    pub defect: Option<Defect>,
    /// The errno that user space gets; `None` if nothing is refused.
    pub errno: Option<Errno>,
    /// The finding as a sentence.
    pub why: String,
}

impl Finding {
    /// True unless the finding is only a remark about a sound image: mkfs.erofs writes such images, and
    /// every reader reads them.
    pub fn is_wrong(&self) -> bool {
        !matches!(
            self.defect,
            Some(Defect::CompressionDeclared | Defect::MetadataInPartialPage | Defect::FeatureBit)
        )
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            None => write!(f, "image: {}", self.why)?,
            Some(path) if path.is_empty() => write!(f, "/: {}", self.why)?,
            Some(path) => write!(f, "{path}: {}", self.why)?,
        }
        match self.errno {
            Some(errno) => write!(f, " ({errno})"),
            None => f.write_str(" (tolerated)"),
        }
    }
}

/// Checks image files. An image that does not mount yields a single finding.
pub fn files(primary: &Path, devices: &[impl AsRef<Path>]) -> Vec<Finding> {
    match Image::open_files(primary, devices) {
        Ok(image) => image_tree(&image),
        Err(fault) => vec![refused(None, fault)],
    }
}

/// Checks the superblock and every inode reachable from the root.
pub fn image_tree(image: &Image) -> Vec<Finding> {
    let mut check = Check {
        image,
        findings: Vec::new(),
        links: BTreeMap::new(),
    };
    check.whole();
    check.walk();
    check.links();
    check.findings
}

fn refused(path: Option<&Text>, fault: Fault) -> Finding {
    Finding {
        path: path.cloned(),
        defect: fault.defect,
        errno: Some(fault.errno),
        why: fault.why,
    }
}

/// Number of names of an inode and, for a directory, of its subdirectories.
struct Links {
    path: Text,
    says: u32,
    counted: u64,
}

struct Check<'a> {
    image: &'a Image,
    findings: Vec<Finding>,
    links: BTreeMap<u64, Links>,
}

impl Check<'_> {
    fn refuse(&mut self, path: &Text, fault: Fault) {
        self.findings.push(refused(Some(path), fault));
    }

    fn remark(&mut self, path: Option<&Text>, defect: Defect, why: String) {
        self.findings.push(Finding {
            path: path.cloned(),
            defect: Some(defect),
            errno: None,
            why,
        });
    }

    fn whole(&mut self) {
        let sb = self.image.superblock();
        if sb.compression != 0 || sb.feature_incompat & 1 != 0 {
            let why = "the image declares compression; compressed inodes cannot be read".to_owned();
            self.remark(None, Defect::CompressionDeclared, why);
        }
        if sb.prefix_count > 0 && !sb.has_long_prefixes() {
            let why = "long xattr prefixes are used without their feature bit".to_owned();
            self.remark(None, Defect::FeatureBit, why);
        }
        for (name, inode) in self
            .image
            .special()
            .map(|(name, inode)| (name, inode.clone()))
            .collect::<Vec<_>>()
        {
            self.data(&Text::from(format!("<{name}>").as_str()), &inode);
        }
    }

    fn walk(&mut self) {
        let root = self.image.root().nid;
        let mut directories = BTreeSet::from([root]);
        let mut todo = vec![(Text::default(), root, root)];
        while let Some((path, nid, parent)) = todo.pop() {
            let inode = match self.image.inode(nid) {
                Ok(inode) => inode,
                Err(fault) => {
                    self.refuse(&path, fault);
                    continue;
                }
            };
            let directory = inode.kind == Kind::Directory;
            let known = self.links.get_mut(&nid);
            if let Some(links) = known {
                links.counted += 1;
                if directory {
                    let why = "a second name leads to a directory".to_owned();
                    self.remark(Some(&path), Defect::LinkCount, why);
                }
                continue;
            }
            self.links.insert(
                nid,
                Links {
                    path: path.clone(),
                    says: inode.nlink,
                    counted: if directory { 2 } else { 1 },
                },
            );
            self.inode(&path, &inode);
            if !directory {
                continue;
            }
            for entry in self.directory(&path, &inode, parent) {
                let below = path.join(entry.name.as_bytes());
                let child = self.image.inode(entry.nid);
                if let Ok(child) = &child {
                    self.entry_type(&below, &entry, child.kind);
                    if child.kind == Kind::Directory {
                        if let Some(links) = self.links.get_mut(&nid) {
                            links.counted += 1;
                        }
                        if !directories.insert(entry.nid) && self.holds(&path, entry.nid) {
                            let why = "the directory is its own ancestor".to_owned();
                            self.refuse(&below, Defect::DirectoryCycle.fault(why));
                            continue;
                        }
                    }
                }
                todo.push((below, entry.nid, nid));
            }
        }
    }

    /// True if the directory `nid`, which was visited before, is at `path` or above it.
    fn holds(&self, path: &Text, nid: u64) -> bool {
        let Some(Links { path: above, .. }) = self.links.get(&nid) else {
            return false;
        };
        above.is_empty()
            || path == above
            || path
                .0
                .strip_prefix(above.as_bytes())
                .is_some_and(|rest| rest[0] == b'/')
    }

    fn inode(&mut self, path: &Text, inode: &Inode) {
        if inode.mtime.1 >= 1_000_000_000 {
            let why = format!("its mtime has {} nanoseconds", inode.mtime.1);
            self.remark(Some(path), Defect::Nanoseconds, why);
        }
        if matches!(inode.layout, Layout::Chunks { .. }) && !self.image.superblock().has_chunks() {
            let why = "the file is chunk-based, but the image lacks the feature bit".to_owned();
            self.remark(Some(path), Defect::FeatureBit, why);
        }
        self.xattrs(path, inode);
        if inode.kind == Kind::Symlink {
            if let Err(fault) = self.image.readlink(inode) {
                self.refuse(path, fault);
            }
        } else {
            self.data(path, inode);
        }
    }

    fn data(&mut self, path: &Text, inode: &Inode) {
        for extent in self.image.extents(inode) {
            let there = extent.and_then(|extent| match extent.source {
                Source::Hole => Ok(()),
                Source::Inline(place) => self
                    .image
                    .metadata(place, extent.end - extent.start)
                    .map(drop),
                Source::Device { id, at } => self.image.present(id, at, extent.end - extent.start),
            });
            if let Err(fault) = there {
                self.findings.push(refused(Some(path), fault));
            }
        }
    }

    fn xattrs(&mut self, path: &Text, inode: &Inode) {
        let names = match self.image.listxattr(inode) {
            Ok(names) => names,
            Err(fault) => return self.refuse(path, fault),
        };
        for name in names {
            match self.image.getxattr(inode, name.as_bytes()) {
                Ok(_) => {}
                Err(fault) if fault.errno == Errno::ENODATA && fault.why.contains("filter") => {
                    let why = format!("the name filter hides the attribute {name}");
                    self.remark(Some(path), Defect::XattrFilter, why);
                }
                Err(fault) => self.refuse(path, fault.of(&format!("attribute {name}"))),
            }
        }
    }

    fn links(&mut self) {
        for links in std::mem::take(&mut self.links).into_values() {
            if u64::from(links.says) != links.counted {
                let why = format!(
                    "its link count is {}, but {} links were counted",
                    links.says, links.counted
                );
                self.remark(Some(&links.path), Defect::LinkCount, why);
            }
        }
    }
}
