// SPDX-License-Identifier: Apache-2.0 OR MIT

//! bindgen, which the kernel's build needs.

use std::path::PathBuf;

use anyhow::Result;
use xshell::{cmd, Shell};

use crate::cache::{Cache, Key};
use crate::step::Step;

/// The release that the harness is tested with.
const VERSION: &str = "0.73.2";

/// Builds bindgen if it is not in the cache and returns the program's path.
///
/// # Errors
/// When cargo cannot fetch or build it.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let dir = cache.step("bindgen", &Key::new().add(VERSION), |dir| {
        let step = Step::begin(cache, "bindgen", format!("building bindgen {VERSION}"))?;
        let shell = Shell::new()?;
        let target = dir.join("target");
        // Overrides the caller's CARGO_TARGET_DIR, which must not be filled with these objects.
        let _elsewhere = shell.push_env("CARGO_TARGET_DIR", &target);
        step.run(cmd!(
            shell,
            "cargo install --locked --root {dir} --version {VERSION} bindgen-cli"
        ))?;
        Ok(std::fs::remove_dir_all(target)?)
    })?;
    Ok(dir.join("bin/bindgen"))
}
