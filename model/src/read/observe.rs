// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Observer of image bytes: produces the observation that [`crate::observe::directory`] makes of a
//! mount of the image.

use std::collections::BTreeMap;
use std::path::Path;

use super::permission::Access;
use super::{Image, Inode, Result};
use crate::observation::{Content, Digester, Entry, Errno, Kind, Listing, Observation, Text};
use crate::observe::Options;
use crate::strictness::Defect;

/// Limit of llistxattr(2) and lgetxattr(2), in bytes.
const XATTR_LIST_MAX: usize = 65536;

impl Image {
    /// Mounts image files as [`Image::open_files`] does, and observes the tree. `Err` is the errno
    /// of the mount.
    ///
    /// # Errors
    /// As [`Image::open_files`].
    pub fn observe_files(
        primary: &Path,
        devices: &[impl AsRef<Path>],
        options: &Options,
    ) -> std::result::Result<Observation, Errno> {
        match Self::open_files(primary, devices) {
            Ok(image) => Ok(image.observe_with(options)),
            Err(fault) => Err(fault.errno),
        }
    }

    /// Observes the whole tree with default options.
    pub fn observe(&self) -> Observation {
        self.observe_with(&Options::default())
    }

    /// Observes the tree within the limits of the options.
    pub fn observe_with(&self, options: &Options) -> Observation {
        let mut seen = Observation::new();
        let mut nids: BTreeMap<Text, u64> = BTreeMap::new();
        let mut todo = vec![Visit {
            path: Text::default(),
            inode: Ok(self.root().clone()),
            ancestors: Chain::default(),
        }];
        while let Some(Visit {
            path,
            inode,
            ancestors,
        }) = todo.pop()
        {
            if seen.entries.len() >= options.paths {
                seen.truncated = true;
                break;
            }
            let inode = match inode {
                Ok(inode) => inode,
                Err(errno) => {
                    seen.entries.insert(path, Entry::failed(errno));
                    continue;
                }
            };
            nids.insert(path.clone(), inode.nid);
            let entry = self.entry(&inode, options, &mut seen);
            if let Some(listing) = &entry.listing {
                let below = ancestors.with(inode.nid);
                todo.extend(listing.reachable().rev().map(|name| {
                    Visit {
                        path: path.join(&name.0),
                        inode: self
                            .child(&inode, name, &below)
                            .map_err(|fault| fault.errno),
                        ancestors: below.clone(),
                    }
                }));
            }
            seen.entries.insert(path, entry);
        }
        seen.group_by(|path| nids.get(path).copied());
        seen
    }

    /// Loads the inode of a name as a path walk does.
    fn child(&self, directory: &Inode, name: &Text, ancestors: &Chain) -> Result<Inode> {
        self.permit(directory, Access::Search)?;
        let Some(entry) = self.lookup(directory, name.as_bytes())? else {
            return Err(super::Fault::other(
                Errno::ENOENT,
                format!("lookup misses {name}"),
            ));
        };
        let inode = self.inode(entry.nid)?;
        if inode.kind == Kind::Directory && ancestors.holds(inode.nid) {
            return Err(Defect::DirectoryCycle.fault(format!("{name} is its own ancestor")));
        }
        Ok(inode)
    }

    fn entry(&self, inode: &Inode, options: &Options, seen: &mut Observation) -> Entry {
        let mut entry = Entry {
            stat: Ok(inode.stat()),
            xattrs: self.visible_xattrs(inode, options),
            ..Entry::failed(Errno::EIO)
        };
        match inode.kind {
            Kind::Symlink => entry.target = Some(self.readlink(inode).map_err(|fault| fault.errno)),
            Kind::Directory => entry.listing = Some(self.listing(inode, options, seen)),
            Kind::Regular if inode.size <= options.file_bytes => {
                let opened = self.permit(inode, Access::Read);
                let spans = opened.clone().and_then(|()| self.spans(inode));
                entry.data = Some(spans.map_err(|fault| fault.errno));
                if seen.bytes < options.bytes || opened.is_err() {
                    let content = opened.and_then(|()| self.digest(inode));
                    entry.content = Some(content.map_err(|fault| fault.errno));
                    let read = entry.content.iter().flatten().map(|content| content.bytes);
                    seen.bytes += read.sum::<u64>();
                } else {
                    seen.truncated = true;
                }
            }
            _ => {}
        }
        entry
    }

    /// Target of a symbolic link as readlink(2) returns it (docs/spec/erofs-format.md section 7).
    ///
    /// # Errors
    /// As [`Image::read`].
    pub fn readlink(&self, inode: &Inode) -> Result<Text> {
        if inode.is_fast_symlink(self.sb.block_size()) {
            return Ok(Text(self.metadata(inode.tail_address(), inode.size)?));
        }
        let mut target = vec![0; inode.size.min(self.page_size - 1) as usize];
        self.read(inode, 0, &mut target)?;
        let end = target.iter().position(|byte| *byte == 0);
        target.truncate(end.unwrap_or(target.len()));
        Ok(Text(target))
    }

    /// Names as getdents(2) returns them: cut at a NUL, without `.` and `..`.
    fn listing(&self, inode: &Inode, options: &Options, seen: &mut Observation) -> Listing {
        let mut listing = Listing::default();
        if let Err(fault) = self.permit(inode, Access::Read) {
            listing.ended = Some(fault.errno);
            return listing;
        }
        for entry in self.readdir(inode) {
            match entry {
                Ok(entry) => {
                    let name = entry
                        .name
                        .0
                        .split(|byte| *byte == 0)
                        .next()
                        .unwrap_or_default();
                    if !matches!(name, b"." | b"..") {
                        listing.names.push(Text::from(name));
                    }
                }
                Err(fault) => listing.ended = Some(fault.errno),
            }
            if listing.names.len() >= options.paths {
                seen.truncated = true;
                break;
            }
        }
        listing
    }

    /// Digests a file's contents.
    ///
    /// # Errors
    /// As [`Image::read`], for the first page that fails.
    pub fn digest(&self, inode: &Inode) -> Result<Content> {
        let mut digester = Digester::default();
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < inode.size {
            let len = (inode.size - at).min(buffer.len() as u64);
            let part = &mut buffer[..len as usize];
            self.read(inode, at, part)?;
            digester.update(part);
            at += len;
        }
        Ok(digester.finish())
    }

    fn visible_xattrs(
        &self,
        inode: &Inode,
        options: &Options,
    ) -> std::result::Result<BTreeMap<Text, std::result::Result<Text, Errno>>, Errno> {
        let names = self.listxattr(inode).map_err(|fault| fault.errno)?;
        if names.iter().map(|name| name.0.len() + 1).sum::<usize>() > XATTR_LIST_MAX {
            return Err(Errno::E2BIG);
        }
        // User space splits the list at NULs, including one within a name.
        let parts = names
            .iter()
            .flat_map(|name| name.0.split(|byte| *byte == 0));
        let shown = parts.filter(|name| options.records(name));
        let get = |name| {
            let value = self.getxattr(inode, name);
            value.map(Text).map_err(|fault| fault.errno)
        };
        Ok(shown.map(|name| (Text::from(name), get(name))).collect())
    }
}

/// A path to visit.
struct Visit {
    path: Text,
    inode: std::result::Result<Inode, Errno>,
    ancestors: Chain,
}

/// Nids of the directories above a path, shared between siblings.
#[derive(Clone, Default)]
struct Chain(Option<std::rc::Rc<(u64, Chain)>>);

impl Chain {
    fn with(&self, nid: u64) -> Self {
        Self(Some(std::rc::Rc::new((nid, self.clone()))))
    }

    fn holds(&self, nid: u64) -> bool {
        let mut link = self;
        while let Some(node) = &link.0 {
            if node.0 == nid {
                return true;
            }
            link = &node.1;
        }
        false
    }
}
