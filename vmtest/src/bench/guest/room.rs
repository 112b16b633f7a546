// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A root directory of nothing but memory.
//!
//! Starting a program from the host's files costs hundreds of millions of instructions over 9p,
//! and never the same number twice. So the programs and their libraries are copied to tmpfs, and
//! the measuring process makes that its root.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{mount, MountFlags};
use rustix::process::{chroot, fchdir};

use crate::vm::SCRATCH;

/// The process is in the room until this is dropped.
pub(super) struct Room {
    outside: OwnedFd,
}

impl Room {
    /// Makes the room, with `programs` in it, and enters it.
    pub(super) fn enter(programs: &[&str]) -> Result<Self> {
        let room = Path::new(SCRATCH).join("room");
        let mut files = BTreeSet::new();
        for name in programs {
            let program = find(name)?;
            files.extend(libraries(&program)?);
            files.insert(program);
        }
        // Owners have names, as everywhere.
        files.extend(["/etc/passwd", "/etc/group"].map(PathBuf::from));
        for file in &files {
            let to = room.join(file.strip_prefix("/")?);
            fs::create_dir_all(to.parent().context("a file without a directory")?)?;
            fs::copy(file, &to).with_context(|| format!("copying {}", file.display()))?;
        }
        fs::write(
            room.join("etc/nsswitch.conf"),
            "passwd: files\ngroup: files\n",
        )?;
        for (kind, at) in [
            ("proc", "proc"),
            ("sysfs", "sys"),
            ("devtmpfs", "dev"),
            ("configfs", "sys/kernel/config"),
        ] {
            let at = room.join(at);
            fs::create_dir_all(&at)?;
            mount(kind, &at, kind, MountFlags::empty(), None)
                .with_context(|| format!("mounting {kind} (is it in the guest's kernel?)"))?;
        }
        let outside = rustix::fs::open("/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        chroot(&room).context("chroot")?;
        std::env::set_current_dir("/")?;
        Ok(Self { outside })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Should it fail, writing the answer says so.
        let _ = fchdir(&self.outside).and_then(|()| chroot("."));
    }
}

/// Where Debian has it, by either layout of `/usr`; a path names itself.
fn find(name: &str) -> Result<PathBuf> {
    // Joining a path to a directory gives that path.
    ["/usr/bin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("there is no {name} on this machine"))
}

/// The shared libraries and the loader that `program` names.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "ldd {}: {text}", program.display());
    Ok(listed(&text))
}

/// The paths in the output of ldd: `name => path (address)` or `path (address)`.
fn listed(text: &str) -> Vec<PathBuf> {
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found_in_ldds_words() {
        let text = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/libc.so.6 (0x7e)\n\t/lib64/ld.so.2 (0x7d)\n";
        assert_eq!(
            listed(text),
            [Path::new("/lib/libc.so.6"), Path::new("/lib64/ld.so.2")]
        );
    }
}
