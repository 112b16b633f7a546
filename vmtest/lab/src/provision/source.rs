// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's source: the newest release of a series in Debian.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::apt::{Apt, Kind};
use super::version::compare;
use crate::cache::{Cache, Key};
use crate::step::Step;

/// The unpacked source tree of `series` (such as `7.3`), and its version.
///
/// # Errors
/// When no Debian suite has the series, or the package cannot be fetched.
pub fn ensure(cache: &Cache, series: &str) -> Result<(PathBuf, String)> {
    let package = format!("linux-source-{series}");
    let version = cache.choice(&package, || {
        let what = format!("looking for the newest Linux {series}");
        let step = Step::begin(cache, "source", what)?;
        let apt = Apt::open(cache, &step)?;
        newest(&apt.offers(&step, &package, Kind::Binary)?).with_context(|| {
            format!("no Debian suite has {package}: give a source tree with --kernel-src DIR")
        })
    })?;
    let key = Key::new().add(&package).add(&version);
    let dir = cache.step("source", &key, |dir| {
        let step = Step::begin(cache, "source", format!("fetching Linux {version}"))?;
        let apt = Apt::open(cache, &step)?;
        unpack(&apt, &step, &package, &version, dir)
    })?;
    Ok((dir.join("linux"), version))
}

fn unpack(apt: &Apt, step: &Step, package: &str, version: &str, dir: &Path) -> Result<()> {
    let shell = Shell::new()?;
    let fetched = tempfile::tempdir_in(dir)?;
    let file = apt.download(step, package, version, fetched.path())?;
    let inside = fetched.path().join("x");
    step.run(cmd!(shell, "dpkg-deb -x {file} {inside}"))?;
    let archive = inside.join("usr/src").join(format!("{package}.tar.xz"));
    let linux = dir.join("linux");
    shell.create_dir(&linux)?;
    step.run(cmd!(
        shell,
        "tar --extract --file {archive} --directory {linux} --strip-components 1"
    ))
}

/// The newest release. Release candidates do not count.
fn newest(offers: &[String]) -> Option<String> {
    offers
        .iter()
        .filter(|version| !version.contains("~rc"))
        .max_by(|a, b| compare(a, b))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_is_taken_and_no_candidate() {
        let offer = |version: &str| version.to_owned();
        let offers = [
            offer("7.3.4-1~bpo13+1"),
            offer("7.3.12-1"),
            offer("7.3.9-1"),
            offer("7.3.13~rc1-1~exp1"),
        ];
        assert_eq!(newest(&offers).as_deref(), Some("7.3.12-1"));
        assert_eq!(newest(&offers[3..]), None);
    }
}
