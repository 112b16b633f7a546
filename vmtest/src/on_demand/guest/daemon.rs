// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined serve`, for a while.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{ensure, Context, Result};
use ondined::session::Statistics;
use rustix::process::{kill_process, Pid, Signal};

use crate::vm::SCRATCH;

/// A daemon that has the cache bound. Dropped before it was stopped, it is killed.
pub(super) struct Daemon {
    child: Child,
    statistics: PathBuf,
}

impl Daemon {
    /// Serves the blobs below `url` from a cache in `dir`, which is made unless it is there; `more` are
    /// further words of the command line.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub(super) fn serve(program: &Path, dir: &Path, url: &str, more: &[&str]) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let statistics = Path::new(SCRATCH).join("ondined.json");
        let mut child = Command::new(program)
            .args(["serve", "--http", url])
            .arg("--dir")
            .arg(dir)
            .arg("--stats")
            .arg(&statistics)
            .args(more)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut said = String::new();
        let stdout = child.stdout.take().context("the daemon's output")?;
        let daemon = Self { child, statistics };
        BufReader::new(stdout).read_line(&mut said)?;
        ensure!(said == "ready\n", "the daemon is not ready: {said:?}");
        Ok(daemon)
    }

    /// Lets it end, and tells what it did.
    ///
    /// # Errors
    /// When it ends with an error, or something that it should have answered was not.
    pub(super) fn stop(mut self) -> Result<Statistics> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        let done: Statistics = serde_json::from_slice(&fs::read(&self.statistics)?)?;
        let failed = done.refused_opens + done.failed_reads + done.failed_answers;
        ensure!(failed == 0, "the daemon failed to do its work: {done:?}");
        Ok(done)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
