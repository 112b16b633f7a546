// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Root directory in memory, for measurements without file accesses to the host.
//!
//! Starting a program from the host's files over 9p takes hundreds of millions of instructions, and
//! a different number each time. So the programs and their libraries are copied to tmpfs, and the
//! measuring process changes its root to that.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{mount, MountFlags};
use rustix::process::{chroot, fchdir};
use vmtest_wire::paths::SCRATCH;

/// Guard of the chroot: dropping it returns to the original root.
pub(super) struct Chroot {
    outside: OwnedFd,
}

impl Chroot {
    /// Creates the directory with `programs` and their libraries in it, and changes the root to it.
    pub(super) fn enter(programs: &[&str]) -> Result<Self> {
        let root = Path::new(SCRATCH).join("root");
        let mut files = BTreeSet::new();
        for name in programs {
            let program = find(name)?;
            files.extend(libraries(&program)?);
            files.insert(program);
        }
        // For the names of owners, as in a container.
        files.extend(["/etc/passwd", "/etc/group"].map(PathBuf::from));
        for file in &files {
            let to = root.join(file.strip_prefix("/")?);
            fs::create_dir_all(to.parent().context("a file without a directory")?)?;
            fs::copy(file, &to).with_context(|| format!("copying {}", file.display()))?;
        }
        fs::write(
            root.join("etc/nsswitch.conf"),
            "passwd: files\ngroup: files\n",
        )?;
        for (kind, at) in [
            ("proc", "proc"),
            ("sysfs", "sys"),
            ("devtmpfs", "dev"),
            ("configfs", "sys/kernel/config"),
        ] {
            let at = root.join(at);
            fs::create_dir_all(&at)?;
            mount(kind, &at, kind, MountFlags::empty(), None)
                .with_context(|| format!("mounting {kind} (is it in the guest's kernel?)"))?;
        }
        let outside = rustix::fs::open("/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        chroot(&root).context("chroot")?;
        std::env::set_current_dir("/")?;
        Ok(Self { outside })
    }
}

impl Drop for Chroot {
    fn drop(&mut self) {
        // If it fails, writing the answer fails and reports it.
        let _ = fchdir(&self.outside).and_then(|()| chroot("."));
    }
}

/// Path of the program `name`, in either layout of `/usr`. A path names itself.
fn find(name: &str) -> Result<PathBuf> {
    // Joining an absolute path gives that path.
    ["/usr/bin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is not installed on this machine"))
}

/// Lists the shared libraries and the loader of `program`.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "ldd {}: {text}", program.display());
    Ok(listed(&text))
}

/// Extracts the paths from the output of ldd: `name => path (address)` or `path (address)`.
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
