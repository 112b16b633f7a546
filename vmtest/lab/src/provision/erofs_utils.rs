// SPDX-License-Identifier: Apache-2.0 OR MIT

//! erofs-utils, built from the newest source package in Debian: the package of Debian 12 is too old.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::apt::{Apt, Kind};
use super::version::compare;
use crate::cache::{Cache, Key};
use crate::step::Step;

/// The paths of the programs.
#[derive(Clone, Debug)]
pub struct ErofsUtils {
    /// `mkfs.erofs`: makes images.
    pub mkfs: PathBuf,
    /// `fsck.erofs`: checks and extracts images.
    pub fsck: PathBuf,
    /// `dump.erofs`: shows the contents of an image.
    pub dump: PathBuf,
    /// The version of Debian's source package.
    pub version: String,
}

/// Builds the newest version in the suites of [`Apt`] if it is not in the cache.
///
/// # Errors
/// When it cannot be downloaded or built.
pub fn ensure(cache: &Cache) -> Result<ErofsUtils> {
    let version = cache.choice("erofs-utils", || {
        let step = Step::begin(cache, "erofs-utils", "looking for a current erofs-utils")?;
        let apt = Apt::open(cache, &step)?;
        apt.offers(&step, "erofs-utils", Kind::Source)?
            .into_iter()
            .max_by(|a, b| compare(a, b))
            .context("no Debian suite has the source of erofs-utils")
    })?;
    let dir = cache.step("erofs-utils", &Key::new().add(&version), |dir| {
        let step = Step::begin(
            cache,
            "erofs-utils",
            format!("building erofs-utils {version}"),
        )?;
        let apt = Apt::open(cache, &step)?;
        let work = tempfile::tempdir_in(dir)?;
        let archive = apt.download_source(&step, "erofs-utils", &version, work.path())?;
        let tree = work.path().join("tree");
        let shell = Shell::new()?;
        shell.create_dir(&tree)?;
        step.run(cmd!(
            shell,
            "tar --extract --file {archive} --directory {tree} --strip-components 1"
        ))?;
        shell.change_dir(&tree);
        step.run(cmd!(shell, "./autogen.sh"))?;
        step.run(cmd!(
            shell,
            "./configure --disable-fuse --disable-shared --enable-static --prefix={dir}"
        ))?;
        let jobs = format!("-j{}", std::thread::available_parallelism()?);
        step.run(cmd!(shell, "make {jobs}"))?;
        step.run(cmd!(shell, "make install"))
    })?;
    let program = |name: &str| {
        ["bin", "sbin"]
            .iter()
            .map(|part| dir.join(part).join(name))
            .find(|path| path.exists())
            .with_context(|| format!("erofs-utils {version} has no {name}"))
    };
    Ok(ErofsUtils {
        mkfs: program("mkfs.erofs")?,
        fsck: program("fsck.erofs")?,
        dump: program("dump.erofs")?,
        version,
    })
}
