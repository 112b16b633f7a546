// SPDX-License-Identifier: Apache-2.0 OR MIT

//! nydus: the on-demand daemon of container hosts (in fscache mode) and its image builder, as
//! implementations that are independent of this repository.

use std::fs;
use std::path::PathBuf;

use anyhow::{Error, Result};
use xshell::{cmd, Shell};

use super::packages;
use crate::cache::{Cache, Key};
use crate::step::Step;

/// The last release on crates.io. It builds only with the dependencies of its own Cargo.lock.
pub const VERSION: &str = "2.2.0";
/// Environment of the build: use the machine's OpenSSL, do not fail on lints of newer compilers, and
/// optimize little, since the build takes longer than all that the programs do here.
const SETTINGS: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("OPENSSL_NO_VENDOR", "1"),
    ("RUSTFLAGS", "--cap-lints warn"),
];

/// The paths of the programs.
#[derive(Clone, Debug)]
pub struct Nydus {
    /// `nydusd`: serves images.
    pub daemon: PathBuf,
    /// `nydus-image`: makes images.
    pub image: PathBuf,
}

/// Builds the unmodified programs if they are not in the cache.
///
/// # Errors
/// When they cannot be fetched or built.
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

/// Adds advice to the error `why` if `log` shows that fetching failed. Cargo fetches all crates
/// before it compiles the first.
fn explain(why: Error, log: &str) -> Error {
    let compiles = |line: &str| line.trim_start().starts_with("Compiling ");
    if log.lines().any(compiles) {
        why
    } else {
        why.context(format!(
            "nydus {VERSION} and its dependencies could not be fetched from crates.io: connect to \
             the network, or set a mirror or proxy in cargo's configuration"
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
