// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Hang detection: a wait that takes too long fails with the stacks of all blocked tasks.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::on_demand::counters::State;

/// Time limit of waits that should take milliseconds, on a loaded host under emulation with all
/// sanitizers.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `done` returns true.
///
/// # Errors
/// [`PATIENCE`] has passed. The error names `what` and contains the stacks.
pub(super) fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    within(PATIENCE, what, done)
}

/// Waits until `done` returns true, for at most `limit`.
///
/// # Errors
/// As [`until`].
pub(super) fn within(limit: Duration, what: &str, done: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !done() {
        if Instant::now() > end {
            bail!(
                "timed out after {limit:?} waiting until {what}\n{}",
                stacks()
            );
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until the module has neither pending requests nor waiting reads.
///
/// # Errors
/// As [`until`]; the module's debugfs file cannot be read.
pub(super) fn idle() -> Result<()> {
    State::now()?.is_idle()?;
    until("the module is idle", || {
        State::now()
            .and_then(|state| state.is_idle())
            .unwrap_or(false)
    })
}

/// Runs `work` in a thread and returns its result.
///
/// # Errors
/// `work` does not end within [`PATIENCE`]. The error names `what` and contains the stacks.
pub(super) fn ended<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // After a timeout the receiver is gone.
        let _ = send.send(work());
    });
    receive
        .recv_timeout(PATIENCE)
        .ok()
        .with_context(|| format!("{what} did not end within {PATIENCE:?}\n{}", stacks()))
}

/// Returns the kernel stacks of all tasks in uninterruptible sleep and of all threads of this
/// process. Sysrq `w` also prints the blocked tasks to the console.
pub(super) fn stacks() -> String {
    // If sysrq fails, there are still the stacks from /proc.
    let _ = fs::write("/proc/sysrq-trigger", "w");
    let this = std::process::id();
    let mut text = String::new();
    for process in numbers("/proc") {
        for task in numbers(&format!("/proc/{process}/task")) {
            let dir = format!("/proc/{process}/task/{task}");
            let stat = fs::read_to_string(format!("{dir}/stat")).unwrap_or_default();
            let Some((name, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            let waits = rest.trim_start().starts_with('D');
            if waits || process == this {
                let stack = fs::read_to_string(format!("{dir}/stack")).unwrap_or_default();
                text += &format!("{name}){}\n{stack}", &rest[..2.min(rest.len())]);
            }
        }
    }
    text
}

fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
