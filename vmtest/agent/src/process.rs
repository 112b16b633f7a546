// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Child processes of guest programs: daemons under test, and other guest programs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{ensure, Context, Result};
use rustix::process::{kill_process, Pid, Signal};
use vmtest_wire::task::Task;

/// A running child process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` with no input.
    ///
    /// # Errors
    /// fork(2) or execve(2) fails.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Starts `command`, and waits until it has printed the line `ready`.
    ///
    /// # Errors
    /// The process prints another line, or ends; the reason is on its standard error.
    pub(crate) fn ready(command: &mut Command) -> Result<Self> {
        let mut process = Self::start(command.stdout(Stdio::piped()))?;
        let output = process.child.stdout.take().context("its output")?;
        let mut said = String::new();
        BufReader::new(output).read_line(&mut said)?;
        ensure!(
            said == "ready\n",
            "{command:?} did not become ready (its standard error says why): {said:?}"
        );
        Ok(process)
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// The process has been reaped.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Returns the exit status if the process has ended.
    ///
    /// # Errors
    /// waitpid(2) fails.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGTERM and waits until the process ends.
    ///
    /// # Errors
    /// The process has been reaped, or waitpid(2) fails.
    pub(crate) fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// waitpid(2) fails.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Kills the process with SIGKILL and reaps it; afterwards all its descriptors are closed.
    ///
    /// # Errors
    /// The process had ended by itself.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.status()? {
            anyhow::bail!("the process ended by itself: {status}");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both calls fail if the process has been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Command that runs the guest program of `task` from the executable `program`. The job is written
/// to the file `job`; the answer is discarded.
///
/// # Errors
/// The job cannot be written.
pub(crate) fn guest_program<T: Task>(program: &Path, task: &T, job: &Path) -> Result<Command> {
    fs::write(job, serde_json::to_vec(task)?)
        .with_context(|| format!("writing {}", job.display()))?;
    let mut command = Command::new(program);
    command.args(["guest", T::NAME]).arg(job).arg("/dev/null");
    Ok(command)
}
