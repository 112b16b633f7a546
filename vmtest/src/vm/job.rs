// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the host asks of the guest's first process, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The order that a guest is booted for. The host writes it to a file; the guest reads it over 9p.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The command and its arguments; empty for an interactive shell.
    pub(super) argv: Vec<String>,
    /// Environment of the command, over the one that the guest gives.
    pub(super) env: Vec<(String, String)>,
    /// Working directory.
    pub(super) cwd: PathBuf,
    /// Module to load before the command.
    pub(super) module: Option<PathBuf>,
    /// Its parameters, `name=value`.
    pub(super) module_params: Vec<String>,
    /// Host directories that the guest may write: 9p tag and path.
    pub(super) rw: Vec<(String, PathBuf)>,
    /// Whether the host sends standard input.
    pub(super) stdin: bool,
    /// Seconds after which the guest powers off by itself, should the host have died.
    pub(super) limit_seconds: u64,
}

/// How the guest's first process reports the end of its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// Everything is set up; the command starts now.
    Started,
    /// The command ended with this code (128 + signal when a signal ended it).
    Exit(i32),
    /// The command was not started: why.
    Failed(String),
}

/// Names of the virtio-serial ports between the two.
pub(crate) mod port {
    /// Standard input.
    pub(crate) const STDIN: &str = "ondine.stdin";
    /// Standard output.
    pub(crate) const STDOUT: &str = "ondine.stdout";
    /// Standard error.
    pub(crate) const STDERR: &str = "ondine.stderr";
    /// [`super::Report`]s, one JSON document a line.
    pub(crate) const REPORT: &str = "ondine.report";
}

/// Name of the kernel parameter (and so of init's environment variable) that holds the job's path.
pub(crate) const JOB_VARIABLE: &str = "ondine_job";

/// Where the guest finds the host's root without the overlays of `/tmp`, `/var` and `/etc`: files
/// below it can back a file-backed mount, which refuses a stacked file system.
pub const HOST_VIEW: &str = "/run/host";

/// The scratch directory of the guest, a tmpfs.
pub const SCRATCH: &str = "/run/scratch";
