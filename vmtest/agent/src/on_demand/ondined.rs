// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The program `ondined serve` as a child process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Result};
use ondined::session::Statistics;

use crate::process::Process;

/// Source of the daemon's blobs.
#[derive(Clone, Copy)]
pub(crate) enum Blobs<'a> {
    /// HTTP server, by its URL.
    Http(&'a str),
    /// Local directory.
    Local(&'a Path),
}

/// A daemon that has bound its cache. Killed when dropped without [`Self::stop`].
pub(crate) struct Daemon {
    process: Process,
    statistics: PathBuf,
}

impl Daemon {
    /// Starts `program` with its cache in `dir`, created if missing. `more` are further arguments.
    /// The daemon's statistics go to the file `dir` + `.json`.
    ///
    /// # Errors
    /// The daemon does not report that it is ready.
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
        command.arg("--stats").arg(&statistics).args(more);
        Ok(Self {
            process: Process::ready(command.env("RUST_LOG", "warn"))?,
            statistics: statistics.into(),
        })
    }

    /// Process id of the daemon.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Terminates the daemon with SIGTERM and returns its statistics.
    ///
    /// # Errors
    /// The daemon exits with an error, or its statistics count a failed request.
    pub(crate) fn stop(self) -> Result<Statistics> {
        let status = self.process.terminate()?;
        ensure!(status.success(), "the daemon ended with {status}");
        let done: Statistics = serde_json::from_slice(&fs::read(&self.statistics)?)?;
        let failed = done.refused_opens + done.failed_reads + done.failed_answers;
        ensure!(failed == 0, "the daemon failed to do its work: {done:?}");
        Ok(done)
    }
}
