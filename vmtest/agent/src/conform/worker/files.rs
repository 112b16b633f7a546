// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Operations on mounts and files.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::fs::{fadvise, memfd_create, sendfile, Advice, MemfdFlags};
use rustix::mount::{mount, mount_remount, unmount, MountFlags, UnmountFlags};
use vmtest_wire::conform::op::Unmount;
use vmtest_wire::conform::step::OK;

use super::{Outcome, Worker, NOTHING};
use crate::conform::{DRIVE, MOUNTS};
use crate::sys;

const PAGE: usize = 4096;

fn point(name: &str) -> PathBuf {
    Path::new(MOUNTS).join(name)
}

impl Worker {
    pub(super) fn mount(&self, name: &str, options: &str) -> Outcome {
        let point = point(name);
        fs::create_dir_all(&point)?;
        let data = CString::new(options).context("the options")?;
        mount(
            "none",
            &point,
            self.place.fs.as_str(),
            MountFlags::RDONLY,
            Some(data.as_c_str()),
        )?;
        Ok(OK.to_owned())
    }

    pub(super) fn umount(&self, name: &str, how: Unmount) -> Outcome {
        let flags = match how {
            Unmount::Plain => UnmountFlags::empty(),
            Unmount::Lazy => UnmountFlags::DETACH,
            Unmount::Force => UnmountFlags::FORCE,
        };
        unmount(point(name), flags)?;
        Ok(OK.to_owned())
    }

    pub(super) fn remount(&self, name: &str, options: &str) -> Outcome {
        let data = CString::new(options).context("the options")?;
        mount_remount(point(name), MountFlags::RDONLY, data)?;
        Ok(OK.to_owned())
    }

    pub(super) fn statfs(&self, name: &str) -> Outcome {
        let seen = rustix::fs::statfs(point(name))?;
        Ok(format!("type={:#x} block={}", seen.f_type, seen.f_bsize))
    }

    /// Returns the expected contents of `path`, whose first component is the mount, clipped at the
    /// end of the file.
    fn due(&self, path: &str, offset: u64, length: usize) -> Outcome<Vec<u8>> {
        let (_, inside) = path
            .split_once('/')
            .context("the path does not have the form MOUNT/FILE")?;
        let file = File::open(self.place.tree.join(inside))?;
        let left = file.metadata()?.len().saturating_sub(offset);
        let mut due = vec![0; length.min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut due, offset)?;
        Ok(due)
    }

    pub(super) fn pread(&self, path: &str, offset: u64, length: u64, random: bool) -> Outcome {
        let length = usize::try_from(length).context("the length")?;
        let opened;
        let file = match self.held.get(path) {
            Some(held) => held,
            None => {
                opened = File::open(point(path))?;
                &opened
            }
        };
        if random {
            fadvise(file, 0, None, Advice::Random)?;
        }
        let mut seen = vec![0; length];
        let count = rustix::io::pread(file, &mut seen, offset)?;
        Ok(judge(&seen[..count], &self.due(path, offset, length)?))
    }

    pub(super) fn pread_into(&self, path: &str, offset: u64, length: u64, target: &str) -> Outcome {
        let length = usize::try_from(length).context("the length")?;
        let (file, target) = (File::open(point(path))?, File::open(point(target))?);
        for file in [&file, &target] {
            fadvise(file, 0, None, Advice::Random)?;
        }
        let map = sys::Map::private(&target, length)?;
        let count = map.read_into(&file, offset, length)?;
        let copy = File::from(memfd_create("copy", MemfdFlags::CLOEXEC)?);
        let mut seen = vec![0; map.copy_through(&copy, 0, count)?];
        copy.read_exact_at(&mut seen, 0)?;
        Ok(judge(&seen, &self.due(path, offset, length)?))
    }

    pub(super) fn send(&self, path: &str, offset: u64, length: u64) -> Outcome {
        let length = usize::try_from(length).context("the length")?;
        let file = File::open(point(path))?;
        let copy = File::from(memfd_create("copy", MemfdFlags::CLOEXEC)?);
        let mut at = offset;
        let mut seen = vec![0; sendfile(&copy, &file, Some(&mut at), length)?];
        copy.read_exact_at(&mut seen, 0)?;
        Ok(judge(&seen, &self.due(path, offset, length)?))
    }

    pub(super) fn map(&self, path: &str, offset: u64) -> Outcome {
        let offset = usize::try_from(offset).context("the offset")?;
        let file = File::open(point(path))?;
        let length = usize::try_from(file.metadata()?.len()).context("the size")?;
        let map = sys::Map::private(&file, length)?;
        let mut copy = File::from(memfd_create("copy", MemfdFlags::CLOEXEC)?);
        map.copy_through(&copy, offset, PAGE.min(length - offset))?;
        let mut seen = Vec::new();
        copy.rewind()?;
        copy.read_to_end(&mut seen)?;
        Ok(judge(&seen, &self.due(path, offset as u64, PAGE)?))
    }

    pub(super) fn hold(&mut self, path: &str) -> Outcome {
        self.held.insert(path.to_owned(), File::open(point(path))?);
        Ok(OK.to_owned())
    }

    pub(super) fn ls(&self, path: &str) -> Outcome {
        let entries = fs::read_dir(point(path))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<std::io::Result<Vec<_>>>()?;
        names.sort();
        Ok(listing(names, " "))
    }

    pub(super) fn find(&self, path: &str) -> Outcome {
        let top = self.place.cache.join(path);
        let mut found = Vec::new();
        let mut left = vec![top.clone()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                let meta = path.symlink_metadata()?;
                if meta.is_dir() {
                    left.push(path);
                } else {
                    let below = path.strip_prefix(&top).unwrap_or(&path);
                    found.push(format!(
                        "{} {:o} {}",
                        below.display(),
                        meta.mode() & 0o7777,
                        meta.len()
                    ));
                }
            }
        }
        found.sort();
        Ok(listing(found, ", "))
    }

    pub(super) fn xattr(&self, path: &str, name: &str) -> Outcome {
        let mut value = [0; 256];
        let count = rustix::fs::lgetxattr(self.place.cache.join(path), name, &mut value[..])?;
        Ok(value[..count].iter().map(|b| format!("{b:02x}")).collect())
    }

    pub(super) fn sh(&self, command: &str) -> Outcome {
        let status = Command::new("sh")
            .args(["-c", command])
            .env("cache", &self.place.cache)
            .env("blobs", &self.place.blobs)
            .env("device", &self.place.device)
            .env("drive", DRIVE)
            .env("mnt", MOUNTS)
            .env("fs", &self.place.fs)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()?;
        Ok(match status.code() {
            Some(0) => OK.to_owned(),
            Some(code) => format!("exit {code}"),
            None => "killed".to_owned(),
        })
    }
}

fn listing(all: Vec<String>, separator: &str) -> String {
    if all.is_empty() {
        NOTHING.to_owned()
    } else {
        all.join(separator)
    }
}

/// Compares data with its expected contents, in words of the scenario language.
fn judge(seen: &[u8], due: &[u8]) -> String {
    if seen == due {
        return "data".to_owned();
    }
    if seen.len() != due.len() {
        return format!("{} bytes of {}", seen.len(), due.len());
    }
    let mut wrong = seen.iter().zip(due).filter(|(seen, due)| seen != due);
    if wrong.all(|(seen, _)| *seen == 0) {
        "zeros".to_owned()
    } else {
        "wrong".to_owned()
    }
}
