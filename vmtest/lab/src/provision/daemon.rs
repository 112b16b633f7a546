// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined`, built from this repository beside the harness itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{ensure, Context, Result};

use crate::workspace::Workspace;

/// Builds the daemon with this program's profile, in the same target directory, and returns its path.
///
/// # Errors
/// When cargo fails, or this program is not in a target directory.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let outside = || format!("{} is not in a target directory of cargo", this.display());
    let profile = this.parent().with_context(outside)?;
    let target = profile.parent().with_context(outside)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--package",
            "ondined",
            "--bin",
            "ondined",
        ])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace.repo());
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    let daemon = profile.join("ondined");
    ensure!(daemon.exists(), "cargo did not build {}", daemon.display());
    Ok(daemon)
}
