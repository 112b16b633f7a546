// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Running a tool of the host, with an error that a person can act on.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

/// Runs `command` to its end; on failure the error carries the last lines it printed.
///
/// # Errors
/// When the program cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<String> {
    feed(command, "")
}

/// The same, with `input` on its standard input.
///
/// # Errors
/// As [`run`].
pub fn feed(command: &mut Command, input: &str) -> Result<String> {
    let shown = format!("{command:?}");
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot start {program}; `cargo vmtest doctor` says what to install")
        })?;
    child
        .stdin
        .take()
        .context("the child has no standard input")?
        .write_all(input.as_bytes())?;
    let done = child.wait_with_output()?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        let lines: Vec<&str> = told.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n  ");
        bail!(
            "{program} failed ({}):\n  {tail}\n  command: {shown}",
            done.status
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
