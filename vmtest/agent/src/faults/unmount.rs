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
use vmtest_wire::faults::{Figures, ABORTED};

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::hang_detector;
use super::readers::Readers;
use crate::on_demand::counters::STATE;

/// The daemon is stopped (SIGSTOP) after a random number of fetches below this one.
const FETCHES: u64 = 6;

/// Runs one round: a forced, lazy or plain unmount, then unloading and loading the module.
pub(super) fn round(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    fixture.clear()?;
    let daemon = Daemon::start(&fixture.service(2000))?;
    match seed % 3 {
        0 => readahead_alone(fixture, &daemon)?,
        way => waiting_readers(fixture, &daemon, &mut rng, way == 1, figures)?,
    }
    gone()?;
    ensure!(
        unload() == Err(Errno::AGAIN),
        "the module was unloaded although a daemon has the device open"
    );
    daemon.kill()?;
    let mut state = File::open(STATE).context(STATE)?;
    unload().context("unloading the unused module")?;
    let left = state.read(&mut [0; 64]).map_err(|e| e.raw_os_error());
    ensure!(
        left == Err(Some(libc::EIO)),
        "reading the debugfs file of the unloaded module gives {left:?}, not EIO"
    );
    drop(state);
    fixture.load()
}

/// Unmounts while only readahead is pending: no file is open, so a plain unmount must succeed at
/// once.
fn readahead_alone(fixture: &Fixture, daemon: &Daemon) -> Result<()> {
    let mounted = fixture.mount("soft")?;
    let largest = fixture.samples.iter().max_by_key(|s| s.bytes.len());
    let path = fixture.point.join(&largest.context("no sample")?.path);
    let file = File::open(path)?;
    daemon.signal(Signal::STOP)?;
    hang_detector::ended("readahead", move || {
        fadvise(&file, 0, None, Advice::WillNeed)
    })??;
    fixture
        .unmount(mounted)
        .context("unmounting while only readahead is pending")?;
    daemon.signal(Signal::CONT)
}

/// Unmounts while readers wait: a plain unmount fails with EBUSY, a forced one ends their reads
/// with an error, a lazy one lets them finish.
fn waiting_readers(
    fixture: &Fixture,
    daemon: &Daemon,
    rng: &mut fastrand::Rng,
    force: bool,
    figures: &mut Figures,
) -> Result<()> {
    let policy = if rng.bool() { "hard" } else { "soft" };
    let mounted = fixture.mount(policy)?;
    let readers = Readers::start(&fixture.point, &fixture.samples, rng.u64(..))?;
    let moment = rng.u64(0..FETCHES);
    hang_detector::until("the daemon fetches", || {
        daemon.fetches() >= moment || readers.is_wrong()
    })?;
    daemon.signal(Signal::STOP)?;
    hang_detector::until("a read waits", || waiting() > 0 || readers.is_wrong())?;

    let plain = take_away(fixture, UnmountFlags::empty())?;
    ensure!(
        plain == Err(Errno::BUSY),
        "a plain unmount under readers gives {plain:?}, not EBUSY"
    );
    ensure!(
        unload() == Err(Errno::AGAIN),
        "the module was unloaded although an image is mounted"
    );
    if force {
        readers.open_error_window();
        // A reader that was not waiting at the time of one forced unmount waits later: repeat it.
        let aborted = || {
            let forced = take_away(fixture, UnmountFlags::FORCE);
            let refused = matches!(forced, Ok(Err(Errno::BUSY)));
            !refused || readers.is_idle() || readers.is_wrong()
        };
        hang_detector::until("a forced unmount ends all reads", aborted)?;
        ensure!(
            readers.is_idle() || readers.is_wrong(),
            "the forced unmount removed the mount although files are open"
        );
        daemon.signal(Signal::CONT)?;
        // The forced unmount disabled requests of this mount; a remount enables them again.
        mount_remount(&fixture.point, MountFlags::RDONLY, c"").context("a remount")?;
        readers.close_error_window();
        figures.add(ABORTED, readers.finish()?.errors);
        fixture.unmount(mounted)
    } else {
        take_away(fixture, UnmountFlags::DETACH)?.context("a lazy unmount")?;
        // The guard must not unmount the next mount at this path.
        std::mem::forget(mounted);
        daemon.signal(Signal::CONT)?;
        readers.finish()?;
        figures.add("lazy unmounts under readers", 1);
        Ok(())
    }
}

fn take_away(fixture: &Fixture, flags: UnmountFlags) -> Result<Result<(), Errno>> {
    let point = fixture.point.clone();
    hang_detector::ended("unmount", move || unmount(&point, flags))
}

/// Returns the number of waiting reads of all mounts.
fn waiting() -> u64 {
    let number = |dir: fs::DirEntry| {
        let text = fs::read_to_string(dir.path().join("waiting")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    mounts().into_iter().filter_map(number).sum()
}

/// Returns the sysfs directory of each mount.
fn mounts() -> Vec<fs::DirEntry> {
    let entries = fs::read_dir("/sys/fs/ondine")
        .into_iter()
        .flatten()
        .flatten();
    entries.filter(|entry| entry.path().is_dir()).collect()
}

/// Waits until no mount of the module is left.
fn gone() -> Result<()> {
    hang_detector::until("the mount is gone", || mounts().is_empty())
}

fn unload() -> Result<(), Errno> {
    rustix::system::delete_module(c"ondine", libc::O_NONBLOCK)
}

impl Fixture {
    /// Loads the module again.
    ///
    /// # Errors
    /// The module file cannot be opened, or the kernel rejects it.
    pub(super) fn load(&self) -> Result<()> {
        let module = self.module.as_deref().unwrap_or(Path::new("ondine.ko"));
        let file = File::open(module).with_context(|| format!("{}", module.display()))?;
        Ok(rustix::system::finit_module(&file, c"", 0)?)
    }
}
