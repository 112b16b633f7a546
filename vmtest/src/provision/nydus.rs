// SPDX-License-Identifier: Apache-2.0 OR MIT

//! nydus: the daemon in fscache mode that a container host runs, and its image builder. Nobody here
//! wrote them, which is why they are asked.

use std::fs;
use std::path::PathBuf;

use anyhow::{Error, Result};
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
        let install = cmd!(
            shell,
            "cargo install --locked --root {dir} --version {VERSION} nydus-rs"
        );
        if let Err(why) = step.run(install) {
            return Err(explain(why, &fs::read_to_string(step.log())?));
        }
        Ok(fs::remove_dir_all(target)?)
    })?;
    Ok(Nydus {
        daemon: dir.join("bin/nydusd"),
        image: dir.join("bin/nydus-image"),
    })
}

/// Cargo fetches everything before it compiles anything: whether it was the fetching that failed.
fn explain(why: Error, log: &str) -> Error {
    let compiles = |line: &str| line.trim_start().starts_with("Compiling ");
    if log.lines().any(compiles) {
        why
    } else {
        why.context(format!(
            "nydus {VERSION} and what it is made of could not be fetched from cargo's package \
             registry: try again with a network, or name a mirror or proxy in cargo's configuration"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_to_fetch_is_told_from_one_to_build() {
        let told = |log| format!("{:#}", explain(anyhow::anyhow!("w"), log));
        let fetching = "    Updating index\nerror: download of config.json failed\n";
        assert!(told(fetching).contains("could not be fetched"));
        let building = "  Downloaded a v1.0.0\n   Compiling a v1.0.0\nerror: no cmake\n";
        assert_eq!(told(building), "w");
    }
}
