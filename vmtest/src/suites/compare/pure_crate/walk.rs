// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The walk over a mount: every path by lookups from the root, as user space reaches it.

use std::collections::BTreeMap;
use std::rc::Rc;

use ondine_erofs::{lookup, map, resolve, DirBlock, Inode, Source, Target};
use ondine_model::observation::{Content, Digester, Entry, Errno, Kind, Listing, Observation};
use ondine_model::observation::{Span, Stat, Text};
use ondine_model::observe::Options;

use super::acl::{READ, SEARCH};
use super::mount::{errno, Answer, Directory, Mount};

/// Id that stat(2) shows for an invalid id.
const OVERFLOW_ID: u32 = 65534;

/// A path that is still to be observed.
struct Visit {
    path: Text,
    inode: Result<Inode, Errno>,
    above: Option<Rc<Above>>,
}

/// The directories above a path.
struct Above {
    nid: u64,
    above: Option<Rc<Above>>,
}

impl Above {
    fn holds(chain: &Option<Rc<Self>>, nid: u64) -> bool {
        let links = std::iter::successors(chain.as_deref(), |link| link.above.as_deref());
        links.into_iter().any(|link| link.nid == nid)
    }
}

impl Mount<'_> {
    /// Observes the tree as far as the options allow.
    pub fn observe(&self, options: &Options) -> Observation {
        let mut seen = Observation::new();
        let mut nids = BTreeMap::new();
        let mut todo = vec![Visit {
            path: Text::default(),
            inode: Ok(self.root()),
            above: None,
        }];
        while let Some(visit) = todo.pop() {
            if seen.entries.len() >= options.paths {
                seen.truncated = true;
                break;
            }
            let inode = match visit.inode {
                Ok(inode) => inode,
                Err(errno) => {
                    seen.entries.insert(visit.path, Entry::failed(errno));
                    continue;
                }
            };
            nids.insert(visit.path.clone(), inode.nid);
            let entry = self.entry(&inode, options, &mut seen);
            if let Some(listing) = &entry.listing {
                let nid = inode.nid;
                let above = visit.above;
                let above = Some(Rc::new(Above { nid, above }));
                todo.extend(listing.reachable().rev().map(|name| Visit {
                    path: visit.path.join(name.as_bytes()),
                    inode: self.child(&inode, name, &above),
                    above: above.clone(),
                }));
            }
            seen.entries.insert(visit.path, entry);
        }
        seen.group_by(|path| nids.get(path).copied());
        seen
    }

    /// Reads the file at `path`, names parted by `/`, as pread(2) does.
    ///
    /// # Errors
    /// The errnos of the lookups and of the read.
    pub fn pread(&self, path: &[u8], at: u64, out: &mut [u8]) -> Result<(), Errno> {
        let mut inode = self.root();
        for name in path.split(|byte| *byte == b'/') {
            inode = self.child(&inode, &Text::from(name), &None)?;
        }
        self.read_file(&inode, at, out).map_err(errno)
    }

    /// The inode of a name; a directory that is its own ancestor is refused as the VFS refuses it.
    fn child(
        &self,
        parent: &Inode,
        name: &Text,
        above: &Option<Rc<Above>>,
    ) -> Result<Inode, Errno> {
        self.may(parent, SEARCH)?;
        let directory = Directory {
            mount: self,
            inode: parent,
        };
        let found = lookup(&directory, &self.sb, parent, name.as_bytes()).map_err(errno)?;
        let inode = self.inode(found.ok_or(Errno::ENOENT)?.nid).map_err(errno)?;
        if inode.is_dir() && Above::holds(above, inode.nid) {
            return Err(Errno::ELOOP);
        }
        Ok(inode)
    }

    fn entry(&self, inode: &Inode, options: &Options, seen: &mut Observation) -> Entry {
        let mut entry = Entry {
            stat: stat(inode),
            xattrs: self.xattrs(inode, options),
            ..Entry::failed(Errno::EIO)
        };
        if inode.is_symlink() {
            entry.target = Some(self.target(inode).map_err(errno));
        } else if inode.is_dir() {
            entry.listing = Some(self.listing(inode, options, seen));
        } else if inode.is_regular() && inode.size <= options.file_bytes {
            if let Err(errno) = self.may(inode, READ) {
                entry.data = Some(Err(errno));
                entry.content = Some(Err(errno));
                return entry;
            }
            entry.data = Some(self.spans(inode).map_err(errno));
            if seen.bytes >= options.bytes {
                seen.truncated = true;
                return entry;
            }
            let content = self.content(inode).map_err(errno);
            seen.bytes += content.as_ref().map_or(0, |content| content.bytes);
            entry.content = Some(content);
        }
        entry
    }

    /// readlink(2): a slow target is one page at most and ends at a NUL.
    fn target(&self, inode: &Inode) -> Answer<Text> {
        if let Some((space, offset, len)) = inode.fast_symlink(&self.sb) {
            let mut target = vec![0; len as usize];
            self.read(space, offset, &mut target)?;
            return Ok(Text(target));
        }
        let len = inode.size.min(u64::from(self.page_size) - 1);
        let mut target = vec![0; len as usize];
        self.read_file(inode, 0, &mut target)?;
        if let Some(end) = target.iter().position(|byte| *byte == 0) {
            target.truncate(end);
        }
        Ok(Text(target))
    }

    /// getdents(2) as user space sees it: names end at a NUL, a slash is the VFS' EIO.
    fn listing(&self, inode: &Inode, options: &Options, seen: &mut Observation) -> Listing {
        let directory = Directory { mount: self, inode };
        let mut listing = Listing {
            ended: self.may(inode, READ).err(),
            ..Listing::default()
        };
        if listing.ended.is_some() {
            return listing;
        }
        for index in 0..directory.blocks() {
            let bytes = match directory.bytes(index) {
                Ok(bytes) => bytes,
                Err(error) => {
                    listing.ended = Some(errno(error));
                    return listing;
                }
            };
            let fail = |defect: ondine_erofs::Defect| Some(errno(defect.into()));
            let block = match DirBlock::new(&bytes) {
                Ok(block) => block,
                Err(defect) => {
                    listing.ended = fail(defect);
                    return listing;
                }
            };
            for entry in block.entries_from(0) {
                let name = match entry {
                    Ok(entry) if entry.name.contains(&b'/') => Err(Some(Errno::EIO)),
                    Ok(entry) => Ok(entry.name),
                    Err(defect) => Err(fail(defect)),
                };
                let name = match name {
                    Ok(name) => name,
                    Err(ended) => {
                        listing.ended = ended;
                        return listing;
                    }
                };
                let shown = name.split(|byte| *byte == 0).next().unwrap_or_default();
                if !matches!(shown, b"." | b"..") {
                    listing.names.push(Text::from(shown));
                }
                if listing.names.len() >= options.paths {
                    seen.truncated = true;
                    return listing;
                }
            }
        }
        listing
    }

    fn content(&self, inode: &Inode) -> Answer<Content> {
        let mut digester = Digester::default();
        let mut buffer = vec![0; inode.size.min(1 << 20) as usize];
        let mut at = 0;
        while at < inode.size {
            let len = (inode.size - at).min(buffer.len() as u64);
            let part = &mut buffer[..len as usize];
            self.read_file(inode, at, part)?;
            digester.update(part);
            at += len;
        }
        Ok(digester.finish())
    }

    /// SEEK_DATA and SEEK_HOLE: what is mapped is data, whether its blocks are there or not.
    fn spans(&self, inode: &Inode) -> Answer<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        let mut at = 0;
        while at < inode.size {
            let extent = map(self, &self.sb, inode, at, inode.size - at)?;
            let start = extent.start;
            let end = start.saturating_add(extent.len).min(inode.size);
            at = end;
            match extent.target {
                Target::Hole => continue,
                // The module maps a tail by reading it.
                Target::Inline { space, offset } => {
                    self.read(space, offset, &mut vec![0; extent.len as usize])?;
                }
                Target::Mapped { device_id, addr } => {
                    let mut done = 0;
                    while done < extent.len {
                        let (addr, len) = (addr + done, extent.len - done);
                        done += resolve(&self.sb, &self.given(), device_id, addr, len)?.len;
                    }
                }
            }
            match spans.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => spans.push(Span { start, end }),
            }
        }
        Ok(spans)
    }
}

/// stat(2).
fn stat(inode: &Inode) -> Result<Stat, Errno> {
    let id = |id: u32| if id == u32::MAX { OVERFLOW_ID } else { id };
    Ok(Stat {
        kind: Kind::from_mode(inode.mode.into()).ok_or(Errno::EUCLEAN)?,
        mode: u32::from(inode.mode) & 0o7777,
        uid: id(inode.uid),
        gid: id(inode.gid),
        rdev: inode.rdev(),
        size: inode.size,
        nlink: inode.nlink.into(),
        mtime: (inode.mtime, inode.mtime_nsec),
        group: None,
    })
}
