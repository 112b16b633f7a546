// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Nobody hangs: what takes too long is reported with the stacks of all tasks that wait.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::on_demand::guest::State;

/// What should take milliseconds may take this long, on a loaded host under emulation with every
/// sanitizer.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `done`.
///
/// # Errors
/// It does not come to pass; the error names `what` and has the stacks.
pub(super) fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    within(PATIENCE, what, done)
}

/// Waits until `done`, for `limit` at most.
///
/// # Errors
/// As [`until`].
pub(super) fn within(limit: Duration, what: &str, done: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !done() {
        if Instant::now() > end {
            bail!("{what}: not after {limit:?}\n{}", stacks());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until the module asks for nothing, and nobody waits for it.
///
/// # Errors
/// As [`until`]; the module does not say how it is.
pub(super) fn idle() -> Result<()> {
    State::now()?.is_idle()?;
    until("nothing is asked any more", || {
        State::now()
            .and_then(|state| state.is_idle())
            .unwrap_or(false)
    })
}

/// The result of `work`, done by a thread of its own.
///
/// # Errors
/// It does not end; the error names `what` and has the stacks.
pub(super) fn ended<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = send.send(work());
    });
    receive
        .recv_timeout(PATIENCE)
        .ok()
        .with_context(|| format!("{what}: not ended after {PATIENCE:?}\n{}", stacks()))
}

/// The kernel stacks of all tasks that sleep uninterruptibly, and of this process' own; the console
/// gets the kernel's own list.
pub(super) fn stacks() -> String {
    // Should it fail, there are the stacks from /proc.
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
