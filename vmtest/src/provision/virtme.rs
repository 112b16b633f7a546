// SPDX-License-Identifier: Apache-2.0 OR MIT

//! virtme-ng, in an environment of its own.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::{Cache, Key, Step};

/// The release that this harness was tried with.
const VERSION: &str = "1.42";

/// The path of `virtme-run`, the part of virtme-ng that makes machines.
pub fn runner(cache: &Cache) -> Result<PathBuf> {
    // In place: the programs of a Python environment hold its path.
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
            .context("no python3 here can make an environment (python3-venv)")?;
        let pip = dir.join("bin/pip");
        let package = format!("virtme-ng=={VERSION}");
        step.run(cmd!(
            shell,
            "{pip} install --disable-pip-version-check {package}"
        ))
    })?;
    Ok(dir.join("bin/virtme-run"))
}
