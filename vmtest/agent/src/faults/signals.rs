// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Signals to waiting tasks: only a fatal one ends the wait, and it does so soon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rustix::process::Signal;
use vmtest_wire::faults::Figures;

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::readers::Readers;
use super::{hang_detector, persistence};

/// Number of tasks that wait at the same time.
const TASKS: usize = 4;
/// Time after which a task that still waits counts as unaffected by a signal.
const STAYS: Duration = Duration::from_millis(200);
/// Time limit for a killed task to disappear. It takes some milliseconds on an idle host, more on a
/// busy one. Nothing else ends its wait, so the limit may be long.
const DIES: Duration = Duration::from_secs(30);

/// Runs one round. Even seeds signal readers, odd ones a task in mount(2).
pub(super) fn round(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    fixture.clear()?;
    let daemon = Daemon::start(&fixture.service(0))?;
    let slowest = if seed % 2 == 0 {
        let mounted = fixture.mount(if rng.bool() { "hard" } else { "soft" })?;
        daemon.signal(Signal::STOP)?;
        let reader = |_| {
            let sample = &fixture.samples[rng.usize(..fixture.samples.len())];
            let path = fixture.point.join(&sample.path);
            // Only a handled signal can leave a killable wait alone: the kernel turns a signal
            // whose default action ends the process into SIGKILL.
            let words = ["-c", "trap 'exit 3' INT; mapfile < \"$0\""].map(PathBuf::from);
            quiet("bash", words.into_iter().chain([path]))
        };
        let mut tasks = waiting(fixture, (0..TASKS).map(reader).collect())?;
        interrupt(&mut tasks)?;
        let slowest = kill(tasks)?;
        daemon.signal(Signal::CONT)?;
        fixture.unmount(mounted)?;
        slowest
    } else {
        daemon.signal(Signal::STOP)?;
        let options = fixture.options("soft").into();
        let words = ["-i", "-t", "ondine", "none"].map(PathBuf::from);
        let words = words
            .into_iter()
            .chain([fixture.point.clone(), "-o".into(), options]);
        fs::create_dir_all(&fixture.point)?;
        let slowest = kill(waiting(fixture, vec![quiet("mount", words)])?)?;
        daemon.signal(Signal::CONT)?;
        slowest
    };
    figures.most("longest time to die in ms", slowest.as_millis() as u64);
    // The killed tasks must leave nothing behind that affects later readers.
    let mounted = fixture.mount("soft")?;
    Readers::start(&fixture.point, &fixture.samples, rng.u64(..))?.finish()?;
    fixture.unmount(mounted)?;
    daemon.kill()?;
    persistence::all(fixture, rng.u64(..))
}

fn quiet(program: &str, words: impl IntoIterator<Item = PathBuf>) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().with_context(|| program.to_owned())
}

/// Waits until each task waits for the image, which may be still mounting.
fn waiting(fixture: &Fixture, tasks: Vec<Result<Child>>) -> Result<Vec<Child>> {
    let tasks: Vec<Child> = tasks.into_iter().collect::<Result<_>>()?;
    let ids: Vec<u32> = tasks.iter().map(Child::id).collect();
    let all = || ids.iter().all(|id| waits(*id, &fixture.point));
    // Check twice: while it starts, a task also waits for files of the host, but not for long.
    hang_detector::until("all tasks wait", || {
        all() && {
            thread::sleep(STAYS);
            all()
        }
    })?;
    Ok(tasks)
}

/// Sends SIGINT to waiting tasks and ensures that each still runs afterwards.
fn interrupt(tasks: &mut [Child]) -> Result<()> {
    for task in &*tasks {
        send(task, Signal::INT)?;
    }
    thread::sleep(STAYS);
    for task in tasks {
        let ended = task.try_wait()?;
        ensure!(ended.is_none(), "SIGINT ended a wait: {ended:?}");
    }
    Ok(())
}

/// Kills waiting tasks and returns the longest time until a task was gone.
///
/// They are killed at the same time: a lookup of a name that another task is looking up waits
/// uninterruptibly in the VFS (`d_alloc_parallel`) until the other lookup ends.
fn kill(tasks: Vec<Child>) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    let begin = Instant::now();
    for task in &tasks {
        send(task, Signal::KILL)?;
    }
    for mut task in tasks {
        let id = task.id();
        hang_detector::within(DIES, "a killed task is gone", || {
            matches!(state(id), None | Some('Z' | 'X'))
        })?;
        slowest = slowest.max(begin.elapsed());
        task.wait()?;
    }
    Ok(slowest)
}

fn send(task: &Child, signal: Signal) -> Result<()> {
    Ok(rustix::process::kill_process(
        rustix::process::Pid::from_child(task),
        signal,
    )?)
}

/// Tells whether a task waits for the image mounted at `point`, for its mount(2), or for a lookup
/// by another such task. While it starts, it may also wait for files of the host.
fn waits(id: u32, point: &Path) -> bool {
    let stack = fs::read_to_string(format!("/proc/{id}/stack")).unwrap_or_default();
    let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
    let below =
        |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(point));
    // In d_alloc_parallel() the task waits for the lookup of the same name by another task.
    let ours = ["[ondine]", "d_alloc_parallel"];
    let ours = ours.iter().any(|function| stack.contains(function));
    state(id) == Some('D') && (ours || open.flatten().any(below))
}

/// Returns the state letter of a task from /proc/PID/stat.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
