// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the guest's first process, and its reports.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The job of a guest. The host writes it to a file; the guest's first process reads it over 9p.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The command and its arguments; empty for an interactive shell.
    pub argv: Vec<String>,
    /// Environment variables of the command, in addition to the guest's own.
    pub env: Vec<(String, String)>,
    /// Working directory of the command.
    pub cwd: PathBuf,
    /// Module to load before the command.
    pub module: Option<PathBuf>,
    /// Parameters of the module, `name=value`.
    pub module_params: Vec<String>,
    /// Host directories that the guest may write: 9p tag and path.
    pub rw: Vec<(String, PathBuf)>,
    /// True if the host sends the command's standard input.
    pub stdin: bool,
    /// Seconds after which the guest powers off by itself, in case the host's process has died.
    pub limit_seconds: u64,
}

/// A report of the guest's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The guest is set up and the command starts now.
    Started,
    /// The exit code of the command (128 + signal if a signal ended it).
    Exit(i32),
    /// The reason why the command was not started.
    Failed(String),
}

/// The names of the virtio-serial ports between host and guest.
pub mod port {
    /// Standard input.
    pub const STDIN: &str = "ondine.stdin";
    /// Standard output.
    pub const STDOUT: &str = "ondine.stdout";
    /// Standard error.
    pub const STDERR: &str = "ondine.stderr";
    /// [`Report`](super::Report)s, one JSON document per line.
    pub const REPORT: &str = "ondine.report";
}

/// The kernel parameter, and thus environment variable of init, with the path of the job's file.
pub const JOB_VARIABLE: &str = "ondine_job";
