// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The daemon that has filled the cache, and must not be asked again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::on_demand::guest::{Blobs, Daemon};

/// A daemon that fetches each blob whole.
pub(super) struct Filling {
    daemon: Daemon,
    /// How often its threads had run when the cache was full.
    rest: Option<u64>,
}

/// Longer than the daemon's longest pause: guest time alone, in which an idle processor does nothing.
const PAUSE: Duration = Duration::from_secs(3);
/// Pauses until the cache has to be full.
const PATIENCE: u32 = 100;

impl Filling {
    /// Starts `program` on a cache in `store`, for the blobs that lie there. It fetches each blob
    /// whole once it is open.
    pub(super) fn start(program: &Path, store: &Path) -> Result<Self> {
        let words = ["--prefetch", "--threads", "2"];
        let daemon = Daemon::serve(program, &store.join("cache"), Blobs::Local(store), &words)?;
        Ok(Self { daemon, rest: None })
    }

    /// Waits until it has nothing left to do.
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
        bail!("the daemon fills the cache for more than {PATIENCE} times {PAUSE:?}");
    }

    /// Whether anything has woken it since then.
    pub(super) fn woken(&self) -> Result<bool> {
        Ok(self.at_rest()? != self.rest)
    }

    /// How often its threads were given the processor, when they all sleep.
    fn at_rest(&self) -> Result<Option<u64>> {
        let mut runs = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.daemon.id()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            match turns(&status).context("a thread's status is not as expected")? {
                (true, count) => runs += count,
                (false, _) => return Ok(None),
            }
        }
        Ok(Some(runs))
    }

    /// Ends it, as an administrator would.
    pub(super) fn stop(self) -> Result<()> {
        self.daemon.stop().map(drop)
    }
}

/// Of a thread's status in proc(5): whether it sleeps, and its context switches.
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
