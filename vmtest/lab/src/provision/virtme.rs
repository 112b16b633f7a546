// SPDX-License-Identifier: Apache-2.0 OR MIT

//! virtme-ng, installed in a Python environment of its own.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use crate::cache::{Cache, Key};
use crate::step::Step;

/// The release that the harness is tested with.
const VERSION: &str = "1.42";

/// Installs virtme-ng if it is not in the cache and returns the path of `virtme-run`, which starts
/// QEMU.
///
/// # Errors
/// When no Python can create an environment, or pip fails.
pub fn runner(cache: &Cache) -> Result<PathBuf> {
    // In place: the scripts of a Python environment contain its path.
    let dir = cache.in_place("virtme-ng", &Key::new().add(VERSION), |dir| {
        let step = Step::begin(
            cache,
            "virtme-ng",
            format!("installing virtme-ng {VERSION}"),
        )?;
        let shell = Shell::new()?;
        let made = ["/usr/bin/python3", "python3"].iter().any(|python| {
            step.run(cmd!(shell, "{python} -m venv --clear {dir}"))
                .is_ok()
        });
        made.then_some(())
            .context("no python3 can create an environment: install python3-venv")?;
        let pip = dir.join("bin/pip");
        let package = format!("virtme-ng=={VERSION}");
        step.run(cmd!(
            shell,
            "{pip} install --disable-pip-version-check {package}"
        ))
    })?;
    Ok(dir.join("bin/virtme-run"))
}
