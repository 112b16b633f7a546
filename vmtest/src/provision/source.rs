// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's source: the newest release of 7.3 that Debian has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::apt::{Apt, Kind};
use super::version::compare;
use super::{Cache, Key, Step};

const PACKAGE: &str = "linux-source-7.3";

/// The unpacked source tree, and a name for it that changes with the release.
pub fn ensure(cache: &Cache) -> Result<(PathBuf, String)> {
    let version = cache.choice(PACKAGE, || {
        let step = Step::begin(cache, "source", "looking for the newest Linux 7.3")?;
        let apt = Apt::open(cache, &step)?;
        newest(&apt.offers(&step, PACKAGE, Kind::Binary)?)
            .context("no Debian suite has a release of linux-source-7.3; use --kernel-src DIR")
    })?;
    let key = Key::new().add(PACKAGE).add(&version);
    let dir = cache.step("source", &key, |dir| {
        let step = Step::begin(cache, "source", format!("fetching Linux {version}"))?;
        let apt = Apt::open(cache, &step)?;
        unpack(&apt, &step, &version, dir)
    })?;
    Ok((dir.join("linux"), version))
}

fn unpack(apt: &Apt, step: &Step, version: &str, dir: &Path) -> Result<()> {
    let shell = Shell::new()?;
    let fetched = tempfile::tempdir_in(dir)?;
    let package = apt.download(step, PACKAGE, version, fetched.path())?;
    let inside = fetched.path().join("x");
    step.run(cmd!(shell, "dpkg-deb -x {package} {inside}"))?;
    let archive = inside.join("usr/src").join(format!("{PACKAGE}.tar.xz"));
    let linux = dir.join("linux");
    shell.create_dir(&linux)?;
    step.run(cmd!(
        shell,
        "tar --extract --file {archive} --directory {linux} --strip-components 1"
    ))
}

/// The newest release; a release candidate is none.
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
