// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Observer of a mounted tree or a source directory, through system calls.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags, RawDir, SeekFrom};

use crate::observation::{
    Content, Digester, Entry, Errno, Kind, Listing, Observation, Span, Stat, Text,
};

/// Limits of the kernel for an attribute list and an attribute value, in bytes.
const XATTR_MAX: usize = 65536;
/// Buffer size for getdents(2), in bytes.
const DIRENTS: usize = 32768;

/// Limits of an observation. The model's own observer takes the same options, so that both stop at
/// the same point.
#[derive(Clone, Debug)]
pub struct Options {
    /// File contents are read until this many bytes were read; then the observation is marked as
    /// truncated.
    pub bytes: u64,
    /// Contents and holes of files larger than this many bytes are skipped (a hostile image may
    /// claim 2^63 - 1 bytes of hole).
    pub file_bytes: u64,
    /// Maximum number of paths; beyond it the observation is marked as truncated.
    pub paths: usize,
    /// Name prefixes of attributes that are not recorded. Observers always drop `lustre.`.
    pub ignored_xattrs: Vec<Text>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            file_bytes: 16 << 30,
            paths: 1 << 20,
            ignored_xattrs: Vec::new(),
        }
    }
}

impl Options {
    /// True if an attribute of this name is recorded.
    pub fn records(&self, xattr: &[u8]) -> bool {
        let ignored = |prefix: &Text| xattr.starts_with(prefix.as_bytes());
        !xattr.starts_with(b"lustre.") && !self.ignored_xattrs.iter().any(ignored)
    }
}

/// Observes the tree below `root`. Symbolic links are not followed and mount points are not
/// crossed. The error of an operation is recorded and ends only that operation.
///
/// Needs root: without CAP_SYS_ADMIN the kernel hides `trusted.` attributes.
pub fn directory(root: &Path, options: &Options) -> Observation {
    let mut walk = Walk {
        root,
        options,
        seen: Observation::new(),
        identities: BTreeMap::new(),
        buffer: vec![0; 1 << 20],
    };
    walk.run();
    let identities = walk.identities;
    walk.seen.group_by(|path| identities.get(path).copied());
    walk.seen
}

struct Walk<'a> {
    root: &'a Path,
    options: &'a Options,
    seen: Observation,
    identities: BTreeMap<Text, (u64, u64)>,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    fn run(&mut self) {
        let device = fs::lstat(self.root).map(|stat| stat.st_dev).ok();
        let mut todo = vec![Text::default()];
        while let Some(path) = todo.pop() {
            if self.seen.entries.len() >= self.options.paths {
                self.seen.truncated = true;
                return;
            }
            let mut entry = self.entry(&path, device);
            if let Some(listing) = &mut entry.listing {
                // A hostile directory may repeat a name, which is visited once.
                todo.extend(listing.reachable().rev().map(|name| path.join(&name.0)));
            }
            self.seen.entries.insert(path, entry);
        }
    }

    fn full(&self, path: &Text) -> PathBuf {
        if path.is_empty() {
            self.root.to_owned()
        } else {
            self.root.join(path.as_os_str())
        }
    }

    fn entry(&mut self, path: &Text, device: Option<u64>) -> Entry {
        let full = self.full(path);
        let raw = match fs::lstat(&full) {
            Ok(raw) => raw,
            Err(errno) => return Entry::failed(errno.into()),
        };
        let Some(stat) = stat(&raw) else {
            return Entry::failed(Errno::EUCLEAN);
        };
        self.identities
            .insert(path.clone(), (raw.st_dev, raw.st_ino));
        let (kind, size) = (stat.kind, stat.size);
        let mut entry = Entry {
            stat: Ok(stat),
            ..Entry::failed(Errno::EIO)
        };
        entry.xattrs = xattrs(&full, self.options);
        match kind {
            Kind::Symlink => {
                let target = fs::readlink(&full, Vec::new());
                entry.target = Some(target.map(|t| Text(t.into_bytes())).map_err(Errno::from));
            }
            Kind::Directory if Some(raw.st_dev) == device => entry.listing = Some(self.list(&full)),
            Kind::Regular if size <= self.options.file_bytes => self.file(&full, &mut entry),
            _ => {}
        }
        entry
    }

    fn list(&mut self, full: &Path) -> Listing {
        let mut listing = Listing::default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = match fs::open(full, flags, Mode::empty()) {
            Ok(found) => found,
            Err(errno) => {
                listing.ended = Some(errno.into());
                return listing;
            }
        };
        // libc's readdir(3) drops entries with inode number 0, which occur in hostile images.
        let mut buffer = Vec::with_capacity(DIRENTS);
        let mut entries = RawDir::new(found, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            match entry.as_ref().map(|entry| entry.file_name().to_bytes()) {
                Ok(b"." | b"..") => continue,
                Ok(name) => listing.names.push(Text::from(name)),
                Err(errno) => {
                    listing.ended = Some((*errno).into());
                    break;
                }
            }
            if listing.names.len() >= self.options.paths {
                self.seen.truncated = true;
                break;
            }
        }
        listing
    }

    fn file(&mut self, full: &Path, entry: &mut Entry) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match fs::open(full, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(errno) => {
                entry.content = Some(Err(errno.into()));
                entry.data = Some(Err(errno.into()));
                return;
            }
        };
        entry.data = Some(spans(&file));
        if self.seen.bytes >= self.options.bytes {
            self.seen.truncated = true;
            return;
        }
        // Seeking for spans moved the file position.
        entry.content = Some(match fs::seek(&file, SeekFrom::Start(0)) {
            Ok(_) => self.digest(file),
            Err(errno) => Err(errno.into()),
        });
    }

    fn digest(&mut self, mut file: File) -> Result<Content, Errno> {
        let mut digester = Digester::default();
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(n) => digester.update(&self.buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let content = digester.finish();
        self.seen.bytes += content.bytes;
        Ok(content)
    }
}

fn stat(raw: &fs::Stat) -> Option<Stat> {
    let kind = Kind::from_mode(raw.st_mode)?;
    let device = matches!(kind, Kind::Character | Kind::Block);
    Some(Stat {
        kind,
        mode: raw.st_mode & 0o7777,
        uid: raw.st_uid,
        gid: raw.st_gid,
        rdev: if device {
            (fs::major(raw.st_rdev), fs::minor(raw.st_rdev))
        } else {
            (0, 0)
        },
        size: u64::try_from(raw.st_size).unwrap_or(u64::MAX),
        #[allow(
            clippy::useless_conversion,
            reason = "its width depends on the architecture"
        )]
        nlink: raw.st_nlink.into(),
        mtime: (
            raw.st_mtime,
            u32::try_from(raw.st_mtime_nsec).unwrap_or(u32::MAX),
        ),
        group: None,
    })
}

fn xattrs(full: &Path, options: &Options) -> Result<BTreeMap<Text, Result<Text, Errno>>, Errno> {
    let mut list = vec![0u8; XATTR_MAX];
    let used = fs::llistxattr(full, list.as_mut_slice())?;
    let mut found = BTreeMap::new();
    for name in list[..used].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if !options.records(name.to_bytes()) {
            continue;
        }
        let mut value = vec![0u8; XATTR_MAX];
        let value = match fs::lgetxattr(full, name, value.as_mut_slice()) {
            Ok(used) => Ok(Text(value[..used].to_vec())),
            Err(errno) => Err(errno.into()),
        };
        found.insert(Text::from(name.to_bytes()), value);
    }
    Ok(found)
}

/// Data ranges of a file. Adjacent ranges are merged.
fn spans(file: &File) -> Result<Vec<Span>, Errno> {
    let mut found: Vec<Span> = Vec::new();
    let mut at = 0;
    loop {
        let start = match fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data beyond this position, or the file is empty.
            Err(rustix::io::Errno::NXIO) => return Ok(found),
            Err(errno) => return Err(errno.into()),
        };
        let end = match fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end,
            Err(rustix::io::Errno::NXIO) => return Ok(found),
            Err(errno) => return Err(errno.into()),
        };
        match found.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => found.push(Span { start, end }),
        }
        if end <= at {
            return Err(Errno::EIO);
        }
        at = end;
    }
}
