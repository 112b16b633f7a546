// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Detection of an idle guest: no task runs and no disk request is in progress.
//!
//! A scenario does not wait for fixed times, since an emulated guest on a busy host may take
//! seconds for what takes milliseconds elsewhere. In an idle guest, a blocked task stays blocked
//! and a missing message stays missing, until the scenario does something.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{gettid, sched_getaffinity, sched_setaffinity, CpuSet};

/// Duration after which an idle guest counts as idle for good: longer than the kernel's short
/// delays.
const LASTING: Duration = Duration::from_millis(150);

/// Returns true if the caller is the only running task, and no disk request is in progress.
///
/// # Errors
/// A file in /proc cannot be read or parsed.
pub(super) fn now() -> Result<bool> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let running = load.split_whitespace().nth(3);
    let running = running.and_then(|field| field.split('/').next());
    // The kernel also counts tasks that sleep, until an idle processor takes them off its run queue.
    if running.context("/proc/loadavg")? != "1" && does_another_run()? {
        return Ok(false);
    }
    // The ninth number after a disk's name is the number of requests in progress.
    let disks = std::fs::read_to_string("/proc/diskstats")?;
    let mut under_way = disks.lines().map(|line| line.split_whitespace().nth(11));
    Ok(under_way.all(|count| count == Some("0")))
}

/// Returns true if the state of a task other than the caller is `R`.
fn does_another_run() -> Result<bool> {
    let own = gettid().as_raw_nonzero().to_string();
    for process in std::fs::read_dir("/proc")? {
        // Entries that are not processes have no tasks, and a process may have exited.
        let Ok(tasks) = std::fs::read_dir(process?.path().join("task")) else {
            continue;
        };
        for task in tasks.flatten().filter(|task| *task.file_name() != *own) {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            if stat
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('R'))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Returns true if a task waits for a 9p file of the host. Such a task neither runs nor has a disk
/// request, and may wait for long on a busy host.
fn is_host_asked() -> Result<bool> {
    for entry in std::fs::read_dir("/proc")? {
        let wchan = entry?.path().join("wchan");
        // Entries that are not processes have no wchan, and a process may have exited.
        let at = std::fs::read_to_string(wchan).unwrap_or_default();
        if at.starts_with("p9_") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Time since which the caller has found the guest idle.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
    /// True once every processor has run the caller in this idle period.
    visited: bool,
}

impl Idle {
    /// Checks again, and returns true if the guest has been idle for long enough. Returns false at
    /// least once after it has run on every processor, so that the caller checks what that has
    /// caused.
    ///
    /// # Errors
    /// As [`now`]; or the affinity cannot be set.
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

/// Runs the caller on each processor once. A virtual processor that the host has suspended then
/// processes its pending interrupts, such as the wake-up of a task, which is not counted as running
/// before.
fn visit_processors() -> Result<()> {
    let all = sched_getaffinity(None)?;
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)?;
    }
    Ok(sched_setaffinity(None, &all)?)
}
