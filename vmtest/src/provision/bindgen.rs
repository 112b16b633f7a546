// SPDX-License-Identifier: Apache-2.0 OR MIT

//! bindgen, which the kernel's build calls.

use std::path::PathBuf;

use anyhow::Result;
use xshell::{cmd, Shell};

use super::{Cache, Key, Step};

/// The release that this harness was tried with.
const VERSION: &str = "0.73.2";

/// The path of the program.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let dir = cache.step("bindgen", &Key::new().add(VERSION), |dir| {
        let step = Step::begin(cache, "bindgen", format!("building bindgen {VERSION}"))?;
        let shell = Shell::new()?;
        let target = dir.join("target");
        // A caller's target directory is not ours to fill.
        let _elsewhere = shell.push_env("CARGO_TARGET_DIR", &target);
        step.run(cmd!(
            shell,
            "cargo install --locked --root {dir} --version {VERSION} bindgen-cli"
        ))?;
        Ok(std::fs::remove_dir_all(target)?)
    })?;
    Ok(dir.join("bin/bindgen"))
}
