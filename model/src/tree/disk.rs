// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Creation of a tree on disk, for other programs to pack.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self as sys, AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags,
};

use super::{Content, DeviceNumber, Kind, Node, NodeId, Segment, Tree};

/// File data is written in pieces of this many bytes.
const PIECE: u64 = 1 << 20;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}: {source}", path.display())]
pub struct MaterialiseError {
    /// The path.
    pub path: PathBuf,
    /// The operation that failed.
    pub what: &'static str,
    /// Errno of the operation: EPERM without root, EOPNOTSUPP or ENOSPC if the file system cannot
    /// store an attribute.
    #[source]
    pub source: io::Error,
}

impl Tree {
    /// Creates the tree in `directory`, which must exist and be empty. The directory becomes the
    /// root and gets the root's attributes. Needs root to set owners, device nodes and `trusted.`
    /// attributes.
    ///
    /// # Errors
    /// The first operation that failed, with its path.
    pub fn write_to_directory(&self, directory: &Path) -> Result<(), MaterialiseError> {
        let mut first_path = vec![None; self.len()];
        self.make(Self::ROOT, directory, &mut first_path)
    }

    fn make(
        &self,
        id: NodeId,
        path: &Path,
        first_path: &mut [Option<PathBuf>],
    ) -> Result<(), MaterialiseError> {
        let node = self.node(id);
        let failed = |what| {
            let path = path.to_owned();
            move |source: io::Error| MaterialiseError { path, what, source }
        };
        if let Some(first) = &first_path[id.index()] {
            return fs::hard_link(first, path).map_err(failed("link"));
        }
        first_path[id.index()] = Some(path.to_owned());
        match &node.kind {
            Kind::Directory(entries) => {
                if id != Self::ROOT {
                    fs::create_dir(path).map_err(failed("mkdir"))?;
                }
                for (name, child) in entries {
                    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name);
                    self.make(*child, &path.join(name), first_path)?;
                }
            }
            Kind::File(content) => write_file(path, content).map_err(failed("write"))?,
            Kind::Symlink(target) => {
                let target: &std::ffi::OsStr =
                    std::os::unix::ffi::OsStrExt::from_bytes(target.as_slice());
                std::os::unix::fs::symlink(target, path).map_err(failed("symlink"))?;
            }
            Kind::Character(number) => {
                special(path, FileType::CharacterDevice, *number).map_err(failed("mknod"))?;
            }
            Kind::Block(number) => {
                special(path, FileType::BlockDevice, *number).map_err(failed("mknod"))?;
            }
            Kind::Fifo => {
                special(path, FileType::Fifo, DeviceNumber::default()).map_err(failed("mkfifo"))?;
            }
            Kind::Socket => {
                special(path, FileType::Socket, DeviceNumber::default())
                    .map_err(failed("mknod"))?;
            }
        }
        set_attributes(path, node)
    }
}

fn special(path: &Path, kind: FileType, number: DeviceNumber) -> io::Result<()> {
    let device = sys::makedev(number.major, number.minor);
    sys::mknodat(sys::CWD, path, kind, Mode::from_raw_mode(0o600), device)?;
    Ok(())
}

fn write_file(path: &Path, content: &Content) -> io::Result<()> {
    let file = File::create_new(path)?;
    file.set_len(content.len())?;
    let written = content
        .segments()
        .filter(|(_, segment)| !matches!(segment, Segment::Hole(_)));
    for (range, _) in written {
        let mut at = range.start;
        while at < range.end {
            let mut piece = vec![0; (range.end - at).min(PIECE) as usize];
            content.read_at(at, &mut piece);
            file.write_all_at(&piece, at)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

/// Sets owner, mode, extended attributes and time, in this order because each may change the
/// previous.
fn set_attributes(path: &Path, node: &Node) -> Result<(), MaterialiseError> {
    let failed = |what: &'static str| {
        let path = path.to_owned();
        move |errno: rustix::io::Errno| MaterialiseError {
            path,
            what,
            source: errno.into(),
        }
    };
    let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
    sys::chownat(
        sys::CWD,
        path,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(failed("chown"))?;
    let is_link = matches!(node.kind, Kind::Symlink(_));
    let mode = Mode::from_raw_mode(u32::from(node.permissions & 0o7777));
    if !is_link {
        sys::chmod(path, mode).map_err(failed("chmod"))?;
    }
    for (name, value) in &node.xattrs {
        sys::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())
            .map_err(failed("setxattr"))?;
    }
    // Setting an access ACL changed the group bits and may have cleared set-group-id.
    if !is_link && !node.xattrs.is_empty() {
        sys::chmod(path, mode).map_err(failed("chmod"))?;
    }
    let time = Timespec {
        tv_sec: node.mtime.seconds,
        tv_nsec: node.mtime.nanoseconds.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    sys::utimensat(sys::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("utimens"))
}
