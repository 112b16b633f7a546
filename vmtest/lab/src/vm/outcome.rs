// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The result of running a command in a guest.

use anyhow::{bail, Result};
use serde::Serialize;

use super::console::{tail, Problem};

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub struct GuestRun {
    /// The command's exit code (128 + signal if a signal ended it); `None` if it did not end.
    pub exit_code: Option<i32>,
    /// The command's standard output.
    pub stdout: String,
    /// The command's standard error.
    pub stderr: String,
    /// The kernel's console, from the first line to power-off.
    pub console: String,
    /// Kernel errors on the console. A run with any has failed, whatever the exit code.
    pub problems: Vec<Problem>,
    /// True if the guest was killed at its time limit or by a power cut.
    pub timed_out: bool,
    /// Seconds from the start of the virtual machine to the start of the command.
    pub boot_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// The error of a run in which the guest's kernel reported an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Complaint(pub String);

impl GuestRun {
    /// True if the command exited with 0 and the kernel reported no error.
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0) && self.problems.is_empty() && !self.timed_out
    }

    /// The exit code for the harness' own process: the command's, or 1 if the kernel reported an error
    /// or the command did not end.
    pub fn code(&self) -> i32 {
        match self.exit_code {
            Some(0) if !self.problems.is_empty() => 1,
            Some(code) => code,
            None => 1,
        }
    }

    /// The text of the failure, kernel errors first. Empty if the run passed.
    pub fn complaint(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&problem.to_string());
        }
        if self.timed_out {
            text.push_str(&format!(
                "the guest was ended after {:.0} s; the end of its console:\n{}\n",
                self.seconds,
                tail(&self.console, 20)
            ));
        } else if self.exit_code.is_none() && self.problems.is_empty() {
            text.push_str(&format!(
                "the guest went away before the command ended; the end of its console:\n{}\n",
                tail(&self.console, 20)
            ));
        }
        if let Some(code) = self.exit_code.filter(|code| *code != 0) {
            text.push_str(&format!("the command ended with {code}\n"));
            if !self.stderr.is_empty() {
                text.push_str(&tail(&self.stderr, 20));
                text.push('\n');
            }
        }
        text
    }

    /// The run itself if it passed.
    ///
    /// # Errors
    /// The [`complaint`](GuestRun::complaint) if the run failed, as a [`Complaint`] if the kernel
    /// reported an error.
    pub fn require(self) -> Result<Self> {
        if self.passed() {
            Ok(self)
        } else if !self.problems.is_empty() {
            Err(Complaint(self.complaint().trim_end().to_owned()).into())
        } else {
            bail!("{}", self.complaint().trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::scan;

    fn run(exit_code: Option<i32>, problem: bool) -> GuestRun {
        let console = if problem { "BUG: bad\n" } else { "fine\n" };
        GuestRun {
            exit_code,
            stdout: String::new(),
            stderr: "oh".to_owned(),
            console: console.to_owned(),
            problems: scan(console, &[]),
            timed_out: false,
            boot_seconds: 0.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn a_complaint_of_the_kernel_fails_a_command_that_succeeded() {
        assert!(run(Some(0), false).passed());
        assert_eq!(run(Some(0), false).complaint(), "");
        assert!(!run(Some(0), true).passed());
        assert_eq!(run(Some(0), true).code(), 1);
        assert!(run(Some(0), true).complaint().starts_with("BUG: bad"));
    }

    #[test]
    fn the_commands_code_is_kept() {
        assert_eq!(run(Some(3), false).code(), 3);
        assert_eq!(run(Some(3), true).code(), 3);
        assert_eq!(run(None, false).code(), 1);
        let error = run(Some(3), false).require().unwrap_err();
        assert!(!error.is::<Complaint>());
        assert!(run(None, true).require().unwrap_err().is::<Complaint>());
    }
}
