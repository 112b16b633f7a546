// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined`, built from this repository beside the harness itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{ensure, Context, Result};

use crate::setup::Setup;

/// Builds the daemon as this program was built, and says where it is.
pub fn build(setup: &Setup) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let profile = this.parent().context("a program without a directory")?;
    let target = profile
        .parent()
        .context("a program outside a target directory")?;
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
        .current_dir(setup.repo());
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    let daemon = profile.join("ondined");
    ensure!(daemon.exists(), "cargo made no {}", daemon.display());
    Ok(daemon)
}
