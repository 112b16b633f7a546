// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Unmounting and unloading while requests wait.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use rustix::fs::{fadvise, Advice};
use rustix::io::Errno;
use rustix::mount::{mount_remount, unmount, MountFlags, UnmountFlags};
use rustix::process::Signal;

use super::daemon::Daemon;
use super::ground::Ground;
use super::readers::Crowd;
use super::{watch, Figures};
use crate::on_demand::guest::STATE;

/// The daemon stops answering within so many fetches.
const FETCHES: u64 = 6;

/// What came of a forced unmount.
pub(crate) const ABORTED: &str = "reads that a forced unmount ended";

/// One mount that is taken away by force, lazily or plainly, then the module.
pub(super) fn round(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    ground.clear()?;
    let daemon = Daemon::start(&ground.service(2000))?;
    match seed % 3 {
        0 => readahead_alone(ground, &daemon)?,
        way => waiting_readers(ground, &daemon, &mut rng, way == 1, figures)?,
    }
    gone()?;
    ensure!(unload() == Err(Errno::AGAIN), "unloaded under a daemon");
    daemon.kill()?;
    let mut state = File::open(STATE).context(STATE)?;
    unload().context("unloading what nobody uses")?;
    let left = state.read(&mut [0; 64]).map_err(|e| e.raw_os_error());
    ensure!(
        left == Err(Some(libc::EIO)),
        "without the module its state reads as {left:?}"
    );
    drop(state);
    ground.load()
}

/// Nothing but readahead waits: nobody has a file open, so the mount goes at once.
fn readahead_alone(ground: &Ground, daemon: &Daemon) -> Result<()> {
    let mounted = ground.mount("soft")?;
    let largest = ground.samples.iter().max_by_key(|s| s.bytes.len());
    let path = ground.point.join(&largest.context("no sample")?.path);
    let file = File::open(path)?;
    daemon.signal(Signal::STOP)?;
    watch::ended("readahead", move || {
        fadvise(&file, 0, None, Advice::WillNeed)
    })??;
    ground.unmount(mounted).context("readahead alone waits")?;
    daemon.signal(Signal::CONT)
}

/// Readers wait: a plain unmount is refused, a forced one ends their reads, a lazy one lets them
/// finish.
fn waiting_readers(
    ground: &Ground,
    daemon: &Daemon,
    rng: &mut fastrand::Rng,
    force: bool,
    figures: &mut Figures,
) -> Result<()> {
    let policy = if rng.bool() { "hard" } else { "soft" };
    let mounted = ground.mount(policy)?;
    let crowd = Crowd::start(&ground.point, &ground.samples, rng.u64(..))?;
    let moment = rng.u64(0..FETCHES);
    watch::until("the daemon fetches", || {
        daemon.fetches() >= moment || crowd.is_wrong()
    })?;
    daemon.signal(Signal::STOP)?;
    watch::until("a read waits", || waiting() > 0 || crowd.is_wrong())?;

    let plain = take_away(ground, UnmountFlags::empty())?;
    ensure!(plain == Err(Errno::BUSY), "a plain unmount gives {plain:?}");
    ensure!(unload() == Err(Errno::AGAIN), "unloaded under a mount");
    if force {
        crowd.storm();
        // Who did not wait yet reads on, and waits then.
        let aborted = || {
            let forced = take_away(ground, UnmountFlags::FORCE);
            let refused = matches!(forced, Ok(Err(Errno::BUSY)));
            !refused || crowd.is_idle() || crowd.is_wrong()
        };
        watch::until("a forced unmount ends all reads", aborted)?;
        ensure!(
            crowd.is_idle() || crowd.is_wrong(),
            "files are open, and the mount is gone"
        );
        daemon.signal(Signal::CONT)?;
        // Until now the mount asks for nothing any more.
        mount_remount(&ground.point, MountFlags::RDONLY, c"").context("a remount")?;
        crowd.calm();
        figures.add(ABORTED, crowd.finish()?.errors);
        ground.unmount(mounted)
    } else {
        take_away(ground, UnmountFlags::DETACH)?.context("a lazy unmount")?;
        // Whatever is mounted there next is not ours.
        std::mem::forget(mounted);
        daemon.signal(Signal::CONT)?;
        crowd.finish()?;
        figures.add("lazy unmounts under readers", 1);
        Ok(())
    }
}

fn take_away(ground: &Ground, flags: UnmountFlags) -> Result<Result<(), Errno>> {
    let point = ground.point.clone();
    watch::ended("unmount", move || unmount(&point, flags))
}

/// Reads that wait, in all mounts.
fn waiting() -> u64 {
    let number = |dir: fs::DirEntry| {
        let text = fs::read_to_string(dir.path().join("waiting")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    mounts().into_iter().filter_map(number).sum()
}

/// What the module shows of its mounts.
fn mounts() -> Vec<fs::DirEntry> {
    let entries = fs::read_dir("/sys/fs/ondine")
        .into_iter()
        .flatten()
        .flatten();
    entries.filter(|entry| entry.path().is_dir()).collect()
}

/// Waits until no mount is left.
fn gone() -> Result<()> {
    watch::until("the mount is gone", || mounts().is_empty())
}

fn unload() -> Result<(), Errno> {
    rustix::system::delete_module(c"ondine", libc::O_NONBLOCK)
}

impl Ground {
    /// Loads the module again.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub(super) fn load(&self) -> Result<()> {
        let module = self.module.as_deref().unwrap_or(Path::new("ondine.ko"));
        let file = File::open(module).with_context(|| format!("{}", module.display()))?;
        Ok(rustix::system::finit_module(&file, c"", 0)?)
    }
}
