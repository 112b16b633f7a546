// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Signals to tasks that wait: only one that kills ends the wait, and does so soon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rustix::process::Signal;

use super::daemon::Daemon;
use super::ground::Ground;
use super::kept;
use super::readers::Crowd;
use super::{watch, Figures};

/// Tasks that wait at once.
const TASKS: usize = 4;
/// A signal that ended the wait would have done so by then.
const STAYS: Duration = Duration::from_millis(200);
/// How long a killed task may take to be gone: some milliseconds, and what a busy host makes of them.
/// Nothing else ends its wait.
const DIES: Duration = Duration::from_secs(30);

/// Even seeds signal readers, odd ones a task in mount(2).
pub(super) fn round(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    ground.clear()?;
    let daemon = Daemon::start(&ground.service(0))?;
    let slowest = if seed % 2 == 0 {
        let mounted = ground.mount(if rng.bool() { "hard" } else { "soft" })?;
        daemon.signal(Signal::STOP)?;
        let reader = |_| {
            let sample = &ground.samples[rng.usize(..ground.samples.len())];
            let path = ground.point.join(&sample.path);
            // Only a signal that is handled can leave a wait alone: one that ends the process
            // counts as SIGKILL to the kernel.
            let words = ["-c", "trap 'exit 3' INT; mapfile < \"$0\""].map(PathBuf::from);
            quiet("bash", words.into_iter().chain([path]))
        };
        let mut tasks = waiting(ground, (0..TASKS).map(reader).collect())?;
        interrupt(&mut tasks)?;
        let slowest = kill(tasks)?;
        daemon.signal(Signal::CONT)?;
        ground.unmount(mounted)?;
        slowest
    } else {
        daemon.signal(Signal::STOP)?;
        let options = ground.options("soft").into();
        let words = ["-i", "-t", "ondine", "none"].map(PathBuf::from);
        let words = words
            .into_iter()
            .chain([ground.point.clone(), "-o".into(), options]);
        fs::create_dir_all(&ground.point)?;
        let slowest = kill(waiting(ground, vec![quiet("mount", words)])?)?;
        daemon.signal(Signal::CONT)?;
        slowest
    };
    figures.most("longest time to die in ms", slowest.as_millis() as u64);
    // The killed ones left nothing behind that others meet.
    let mounted = ground.mount("soft")?;
    Crowd::start(&ground.point, &ground.samples, rng.u64(..))?.finish()?;
    ground.unmount(mounted)?;
    daemon.kill()?;
    kept::all(ground, rng.u64(..))
}

fn quiet(program: &str, words: impl IntoIterator<Item = PathBuf>) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().with_context(|| program.to_owned())
}

/// Waits until all tasks wait for what is mounted, or going to be.
fn waiting(ground: &Ground, tasks: Vec<Result<Child>>) -> Result<Vec<Child>> {
    let tasks: Vec<Child> = tasks.into_iter().collect::<Result<_>>()?;
    let ids: Vec<u32> = tasks.iter().map(Child::id).collect();
    let all = || ids.iter().all(|id| waits(*id, &ground.point));
    // Twice: a task that starts waits for names of the host's files, too, but not for long.
    watch::until("all tasks wait", || {
        all() && {
            thread::sleep(STAYS);
            all()
        }
    })?;
    Ok(tasks)
}

/// Interrupts tasks that wait; none of them takes notice.
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

/// Kills tasks that wait; the longest time that one took to be gone.
///
/// All at once: who looks up what another is looking up waits for him, unkillably, in the VFS itself.
fn kill(tasks: Vec<Child>) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    let begin = Instant::now();
    for task in &tasks {
        send(task, Signal::KILL)?;
    }
    for mut task in tasks {
        let id = task.id();
        watch::within(DIES, "a killed task is gone", || {
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

/// Whether a task waits for what is mounted at `point`, or going to be, or for one who does: it may wait
/// for the host's files just as well, while it starts.
fn waits(id: u32, point: &Path) -> bool {
    let stack = fs::read_to_string(format!("/proc/{id}/stack")).unwrap_or_default();
    let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
    let below =
        |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(point));
    // The second is a name that another task looks up.
    let ours = ["[ondine]", "d_alloc_parallel"];
    let ours = ours.iter().any(|function| stack.contains(function));
    state(id) == Some('D') && (ours || open.flatten().any(below))
}

/// The letter of a task's state in /proc.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
