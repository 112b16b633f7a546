// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The tasks that flood: an unprivileged user's, in a memory cgroup.

use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use rustix::fs::{fadvise, Advice};
use rustix::mount::{mount, MountFlags};
use serde::{Deserialize, Serialize};
use vmtest_wire::task::Task;

use super::daemon::PAGE;
use crate::sys::become_user;

/// User and group of the tasks.
const USER: u32 = 1000;
/// Limit of the memory cgroup in bytes.
const MEMORY: u64 = 256 << 20;
/// Bytes of the stack of a reading thread.
const STACK: usize = 64 << 10;

/// Job of `vmtest guest flood-part`: a part of the flood.
#[derive(Serialize, Deserialize)]
pub(crate) struct FloodPart {
    /// Directory of the cgroup that the process joins.
    pub(super) cgroup: PathBuf,
    /// The file of the flooded mount.
    pub(super) file: PathBuf,
    /// The first page that it asks for. The following ones are every other page.
    pub(super) first: u64,
    /// Number of pages.
    pub(super) count: u64,
    pub(super) way: Way,
}

/// A way to ask for pages.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// A hint for each page, one after the other.
    Hints,
    /// A thread for each page, which reads it.
    Readers,
}

impl Task for FloodPart {
    const NAME: &'static str = "flood-part";
    type Answer = ();
}

/// Runs a part of the flood.
///
/// # Errors
/// The process cannot join the cgroup or change its user; those of open(2), posix_fadvise(2) and pread(2).
pub(crate) fn part(part: &FloodPart) -> Result<()> {
    let own = std::process::id().to_string();
    fs::write(part.cgroup.join("cgroup.procs"), own).context("joining the cgroup")?;
    become_user(USER, USER)?;
    let file = File::open(&part.file)?;
    let offsets = (0..part.count).map(|n| (part.first + 2 * n) * PAGE);
    match part.way {
        Way::Hints => {
            for offset in offsets {
                fadvise(&file, offset, NonZeroU64::new(PAGE), Advice::WillNeed)?;
            }
        }
        Way::Readers => {
            fadvise(&file, 0, None, Advice::Random)?;
            let file = &file;
            thread::scope(|scope| {
                for offset in offsets {
                    let read = move || file.read_exact_at(&mut [0; PAGE as usize], offset);
                    let builder = thread::Builder::new().stack_size(STACK);
                    builder.spawn_scoped(scope, read)?;
                }
                Ok::<_, std::io::Error>(())
            })?;
        }
    }
    Ok(())
}

/// A memory cgroup, removed when dropped.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes the cgroup, with a limit of 256 MiB.
    ///
    /// # Errors
    /// The kernel has no memory cgroups.
    pub(super) fn new() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        if !root.join("cgroup.controllers").exists() {
            mount("none", root, "cgroup2", MountFlags::empty(), None).context("cgroup2")?;
        }
        fs::write(root.join("cgroup.subtree_control"), "+memory").context("memory cgroups")?;
        let dir = root.join("flood");
        fs::create_dir(&dir).context("making a cgroup")?;
        let cgroup = Self(dir);
        fs::write(cgroup.0.join("memory.max"), MEMORY.to_string())?;
        Ok(cgroup)
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    /// Number of processes that were killed for lack of memory.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn oom_kills(&self) -> Result<u64> {
        let events = fs::read_to_string(self.0.join("memory.events"))?;
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills.context("memory.events has no oom_kill")?.parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process is in it, which the caller has waited for.
        let _ = fs::remove_dir(&self.0);
    }
}
