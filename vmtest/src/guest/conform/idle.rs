// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Whether the guest is at rest. Nothing here waits for a time: an emulated guest on a busy host may
//! take seconds for what takes milliseconds elsewhere. A task is blocked, and a message is not
//! coming, when nobody is left to do anything about it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

/// At rest for this long is at rest for good: above the kernel's own short delays.
const LASTING: Duration = Duration::from_millis(150);

/// Whether nothing runs in this guest but the caller, and no disk is at work.
///
/// # Errors
/// When it cannot be found out.
pub(super) fn now() -> Result<bool> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let running = load.split_whitespace().nth(3);
    let running = running.and_then(|field| field.split('/').next());
    if running.context("/proc/loadavg")? != "1" {
        return Ok(false);
    }
    // The ninth of the numbers behind a disk's name counts what is under way.
    let disks = std::fs::read_to_string("/proc/diskstats")?;
    let mut under_way = disks.lines().map(|line| line.split_whitespace().nth(11));
    Ok(under_way.all(|count| count == Some("0")))
}

/// Whether a task waits for the host, which keeps the guest's own files: such a task neither runs nor
/// has a disk at work, and a busy host lets it wait for long.
fn is_host_asked() -> Result<bool> {
    for entry in std::fs::read_dir("/proc")? {
        let wchan = entry?.path().join("wchan");
        // What is no process has none; and a process may be gone by now.
        let at = std::fs::read_to_string(wchan).unwrap_or_default();
        if at.starts_with("p9_") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// For how long the guest has been at rest, as far as the caller has looked.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
    /// Whether every processor has been made to run since then.
    visited: bool,
}

impl Idle {
    /// Looks again; whether it has been long enough to mean that nothing will happen by itself. Not
    /// before the caller has looked for himself what came of making every processor run.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub(super) fn is_lasting(&mut self) -> Result<bool> {
        if !now()? {
            *self = Self::default();
            return Ok(false);
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() <= LASTING {
            return Ok(false);
        }
        if !self.visited {
            visit_processors()?;
            self.visited = true;
            return Ok(false);
        }
        Ok(!is_host_asked()?)
    }
}

/// Runs on each processor once. One that the host has not let run for a while does then what it was
/// asked by the others, such as waking a task, which counts as running only from there on.
fn visit_processors() -> Result<()> {
    let all = sched_getaffinity(None)?;
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)?;
    }
    Ok(sched_setaffinity(None, &all)?)
}
