// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined serve`, for a while.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{ensure, Context, Result};
use ondined::session::Statistics;
use rustix::process::{kill_process, Pid, Signal};

/// Where the daemon has its blobs from.
#[derive(Clone, Copy)]
pub(crate) enum Blobs<'a> {
    /// A server, by its URL.
    Http(&'a str),
    /// A directory.
    Local(&'a Path),
}

/// A daemon that has the cache bound. Dropped before it was stopped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    statistics: PathBuf,
}

impl Daemon {
    /// Serves `blobs` from a cache in `dir`, which is made unless it is there; `more` are further words of
    /// the command line. What it did goes to a file beside `dir`.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub(crate) fn serve(
        program: &Path,
        dir: &Path,
        blobs: Blobs<'_>,
        more: &[&str],
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut statistics = dir.as_os_str().to_owned();
        statistics.push(".json");
        let mut command = Command::new(program);
        command.arg("serve").arg("--dir").arg(dir);
        match blobs {
            Blobs::Http(url) => command.arg("--http").arg(url),
            Blobs::Local(root) => command.arg("--local").arg(root),
        };
        let mut child = command
            .arg("--stats")
            .arg(&statistics)
            .args(more)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut said = String::new();
        let stdout = child.stdout.take().context("the daemon's output")?;
        let daemon = Self {
            child,
            statistics: statistics.into(),
        };
        BufReader::new(stdout).read_line(&mut said)?;
        ensure!(said == "ready\n", "the daemon is not ready: {said:?}");
        Ok(daemon)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end, and tells what it did.
    ///
    /// # Errors
    /// When it ends with an error, or something that it should have answered was not.
    pub(crate) fn stop(mut self) -> Result<Statistics> {
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
