// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A long operation: its progress line on the terminal, its duration and its log.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use xshell::Cmd;

use crate::cache::Cache;

/// Interval of the progress messages when standard error is not a terminal.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// A running operation. Dropping it removes its progress line and, if it took more than two
/// seconds, prints its duration.
#[derive(Debug)]
pub struct Step {
    what: String,
    log: PathBuf,
    bar: ProgressBar,
    begin: Instant,
    terminal: bool,
}

impl Step {
    /// Begins an operation. `what` describes it on the terminal; the output of its commands goes to
    /// the log `name`.
    ///
    /// # Errors
    /// When the log cannot be created.
    pub fn begin(cache: &Cache, name: &str, what: impl Into<String>) -> Result<Self> {
        let what = what.into();
        let log = cache.log(name);
        File::create(&log).with_context(|| format!("creating the log {}", log.display()))?;
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template(
            "{spinner} {prefix} {elapsed} {wide_msg:.dim}",
        )?);
        bar.set_prefix(what.clone());
        let terminal = !bar.is_hidden();
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            eprintln!("{what} (log: {})", log.display());
        }
        Ok(Self {
            what,
            log,
            bar,
            begin: Instant::now(),
            terminal,
        })
    }

    /// Runs `command` to its end; its output goes to the log.
    ///
    /// # Errors
    /// When the command cannot be started or fails. Then the end of the log is printed too.
    pub fn run(&self, command: Cmd<'_>) -> Result<()> {
        let words = command.to_string();
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let mut command: Command = command.into();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut next = HEARTBEAT;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(30));
            if self.terminal {
                self.bar.set_message(last_lines(&self.log, 1));
            } else if self.begin.elapsed() > next {
                eprintln!("{}: {} so far", self.what, seconds(self.begin.elapsed()));
                next += HEARTBEAT;
            }
        };
        if !status.success() {
            self.bar.suspend(|| {
                eprintln!("{} failed; the end of its output:", self.what);
                eprintln!("{}", last_lines(&self.log, 20));
            });
            bail!(
                "{}: `{words}` ended with {status}; all of its output: {}",
                self.what,
                self.log.display()
            );
        }
        Ok(())
    }

    /// Runs `command` and returns its standard output; its standard error goes to the log.
    ///
    /// # Errors
    /// When the command cannot be started or fails.
    pub fn read(&self, command: Cmd<'_>) -> Result<String> {
        let words = command.to_string();
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let mut command: Command = command.into();
        let output = command
            .stdin(Stdio::null())
            .stderr(log)
            .output()
            .with_context(|| format!("starting `{words}`"))?;
        if !output.status.success() {
            bail!(
                "{}: `{words}` ended with {}:\n{}",
                self.what,
                output.status,
                last_lines(&self.log, 20)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The path of the log.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        let took = self.begin.elapsed();
        if took > Duration::from_secs(2) && !std::thread::panicking() {
            eprintln!("{}: {}", self.what, seconds(took));
        }
    }
}

fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// The last `count` lines of the file at `path`. Reads no more than its last 8 KiB.
fn last_lines(path: &Path, count: usize) -> String {
    let mut text = Vec::new();
    let _ = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(8192)))?;
        file.read_to_end(&mut text)
    });
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_names_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let step = Step::begin(&cache, "t", "trying").unwrap();
        let shell = xshell::Shell::new().unwrap();
        step.run(xshell::cmd!(shell, "true")).unwrap();
        assert_eq!(step.read(xshell::cmd!(shell, "echo a")).unwrap(), "a\n");
        let why = step
            .run(xshell::cmd!(shell, "sh -c 'echo broken; exit 3'"))
            .unwrap_err();
        assert!(why.to_string().contains("t.log"), "{why}");
        assert_eq!(last_lines(step.log(), 1), "broken");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(2500)), "2.5 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
