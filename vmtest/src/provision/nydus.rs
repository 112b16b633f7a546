// SPDX-License-Identifier: Apache-2.0 OR MIT

//! nydus: the daemon in fscache mode that a container host runs, and its image builder. Nobody here
//! wrote them, which is why they are asked.

use std::path::PathBuf;

use anyhow::Result;
use xshell::{cmd, Shell};

use super::{packages, Cache, Key, Step};

/// The last release on the registry. It builds with the versions that it was released with alone.
pub const VERSION: &str = "2.2.0";
/// Set for the build: the machine's OpenSSL, and no lint of a newer compiler.
const SETTINGS: &[(&str, &str)] = &[
    ("OPENSSL_NO_VENDOR", "1"),
    ("RUSTFLAGS", "--cap-lints warn"),
];

/// The programs.
#[derive(Clone, Debug)]
pub struct Nydus {
    /// Serves images.
    pub daemon: PathBuf,
    /// Makes images.
    pub image: PathBuf,
}

/// Builds them, unmodified.
pub fn ensure(cache: &Cache) -> Result<Nydus> {
    packages::ensure(cache)?;
    let key = Key::new().add(VERSION).add(format!("{SETTINGS:?}"));
    let dir = cache.step("nydus", &key, |dir| {
        let step = Step::begin(cache, "nydus", format!("building nydus {VERSION}"))?;
        let shell = Shell::new()?;
        let target = dir.join("target");
        shell.set_var("CARGO_TARGET_DIR", &target);
        for (name, value) in SETTINGS {
            shell.set_var(name, value);
        }
        step.run(cmd!(
            shell,
            "cargo install --locked --root {dir} --version {VERSION} nydus-rs"
        ))?;
        Ok(std::fs::remove_dir_all(target)?)
    })?;
    Ok(Nydus {
        daemon: dir.join("bin/nydusd"),
        image: dir.join("bin/nydus-image"),
    })
}
