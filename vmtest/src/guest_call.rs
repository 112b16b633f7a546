// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Calls of guest programs: the job and the answer are files in a directory that host and guest share.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use vmtest_lab::cache::Cache;
use vmtest_lab::vm::{program, Boot, GuestRun, Stdio};
use vmtest_wire::task::Task;

/// A directory that host and guest share for one job.
pub struct GuestSession {
    dir: tempfile::TempDir,
}

impl GuestSession {
    /// Creates a shared directory in the cache.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn new(cache: &Cache) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(cache.dir("tmp")?)?;
        Ok(Self { dir })
    }

    /// Path of the directory, the same on host and guest.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Boots a guest, runs `job` in it, and returns the answer.
    ///
    /// # Errors
    /// When the guest could not be started, its kernel logged a warning, or the program wrote no answer.
    pub fn call<T: Task>(&self, boot: Boot, job: &T) -> Result<T::Answer> {
        let (answer, run) = self.attempt(boot, job)?;
        match answer {
            Some(answer) => Ok(answer),
            None => {
                run.require()?;
                bail!("the guest gave no answer to {}", T::NAME)
            }
        }
    }

    /// Runs `job` like [`call`](Self::call), but returns a failure of the program or a kernel warning as the
    /// inner error.
    ///
    /// # Errors
    /// When the guest could not be started or did not finish.
    pub fn judged<T: Task>(&self, boot: Boot, job: &T) -> Result<Result<T::Answer, String>> {
        let (answer, run) = self.attempt(boot, job)?;
        match answer {
            Some(answer) => Ok(Ok(answer)),
            None if run.exit_code.is_some() || !run.problems.is_empty() => Ok(Err(run.complaint())),
            None => bail!("{}", run.complaint()),
        }
    }

    /// Runs `job` and returns the answer, if any, and the run, for callers that expect the guest to die.
    ///
    /// # Errors
    /// When the guest could not be started, or its answer cannot be parsed.
    pub fn attempt<T: Task>(&self, boot: Boot, job: &T) -> Result<(Option<T::Answer>, GuestRun)> {
        let (ask, answer) = (
            self.path().join("job.json"),
            self.path().join("answer.json"),
        );
        std::fs::write(&ask, serde_json::to_vec(job)?)?;
        let words: [PathBuf; 5] = [
            program()?.into(),
            "guest".into(),
            T::NAME.into(),
            ask,
            answer.clone(),
        ];
        let run = boot.rw(self.path()).stdio(Stdio::Passed).run(words)?;
        if !run.passed() || !answer.exists() {
            return Ok((None, run));
        }
        let text = std::fs::read(&answer)?;
        let read = serde_json::from_slice(&text).context("cannot parse the guest's answer")?;
        Ok((Some(read), run))
    }
}
