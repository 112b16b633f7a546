// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Daemon that prefetches all data, and must stay idle during the measurements.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::on_demand::ondined::{Blobs, Daemon};

/// A daemon that prefetches each blob as a whole.
pub(super) struct PrefetchingDaemon {
    daemon: Daemon,
    /// Context switches of its threads at the time when the cache was full.
    rest: Option<u64>,
}

/// Longer than the daemon's longest pause. In guest time: an idle processor skips it.
const PAUSE: Duration = Duration::from_secs(3);
/// Number of pauses after which the cache must be full.
const PATIENCE: u32 = 100;

impl PrefetchingDaemon {
    /// Starts `program` with a cache in `store`, for the blobs in the same directory. It prefetches
    /// each blob once that is open.
    pub(super) fn start(program: &Path, store: &Path) -> Result<Self> {
        let words = ["--prefetch", "--threads", "2"];
        let daemon = Daemon::serve(program, &store.join("cache"), Blobs::Local(store), &words)?;
        Ok(Self { daemon, rest: None })
    }

    /// Waits until the daemon is idle.
    pub(super) fn await_full_cache(&mut self) -> Result<()> {
        let mut before = None;
        for _ in 0..PATIENCE {
            std::thread::sleep(PAUSE);
            let now = self.at_rest()?;
            if now.is_some() && now == before {
                self.rest = now;
                return Ok(());
            }
            before = now;
        }
        bail!("the daemon is still filling the cache after {PATIENCE} times {PAUSE:?}");
    }

    /// Tells whether the daemon ran since the cache was full.
    pub(super) fn woken(&self) -> Result<bool> {
        Ok(self.at_rest()? != self.rest)
    }

    /// Returns the number of context switches of its threads if all of them sleep, else None.
    fn at_rest(&self) -> Result<Option<u64>> {
        let mut runs = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.daemon.id()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            match turns(&status)
                .context("a thread's /proc status lacks State or the context switches")?
            {
                (true, count) => runs += count,
                (false, _) => return Ok(None),
            }
        }
        Ok(Some(runs))
    }

    /// Terminates the daemon with SIGTERM.
    pub(super) fn stop(self) -> Result<()> {
        self.daemon.stop().map(drop)
    }
}

/// Parses /proc/PID/status of a thread: true if it sleeps, and the number of its context switches.
fn turns(status: &str) -> Option<(bool, u64)> {
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    let count = |name| field(name)?.parse::<u64>().ok();
    let switches = count("voluntary_ctxt_switches")? + count("nonvoluntary_ctxt_switches")?;
    Some((field("State")?.starts_with('S'), switches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_turns_are_read_from_its_status() {
        let text = "Name:\tx\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(turns(text), Some((true, 9)));
        assert_eq!(turns(&text.replace("S (s", "R (r")), Some((false, 9)));
        assert_eq!(turns("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_is_read_so_too() {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(turns(&status).is_some_and(|(sleeps, _)| !sleeps));
    }
}
