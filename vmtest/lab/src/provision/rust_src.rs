// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The source of Rust's standard library, from which the kernel's build compiles `core`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::apt::{Apt, Kind};
use super::version::compare;
use crate::cache::{Cache, Key};
use crate::step::Step;

/// The `library` directory of the same release as `rustc`: rustup's, or the one of Debian's package.
///
/// # Errors
/// When neither has this release.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let shell = Shell::new()?;
    let rustc = cmd!(shell, "rustc --version")
        .quiet()
        .read()
        .context("rustc is not in PATH")?;
    let sysroot = cmd!(shell, "rustc --print sysroot").quiet().read()?;
    let own = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if own.join("core/src/lib.rs").exists() {
        return Ok(own);
    }
    let release = release(&rustc).with_context(|| format!("no release in {rustc:?}"))?;
    let dir = cache.step("rust-src", &Key::new().add(&release), |dir| {
        let step = Step::begin(
            cache,
            "rust-src",
            format!("fetching the source of Rust {release}"),
        )?;
        let apt = Apt::open(cache, &step)?;
        let version = matching(&apt.offers(&step, "rust-src", Kind::Binary)?, &release)
            .with_context(|| {
                format!(
                    "no Debian suite has rust-src {release}, the release of this machine's rustc; \
                 `rustup component add rust-src` installs it"
                )
            })?;
        let fetched = tempfile::tempdir_in(dir)?;
        let package = apt.download(&step, "rust-src", &version, fetched.path())?;
        let inside = fetched.path().join("x");
        step.run(cmd!(shell, "dpkg-deb -x {package} {inside}"))?;
        let library = inside
            .join("usr/src")
            .join(format!("rustc-{release}/library"));
        let place = dir.join("library");
        step.run(cmd!(shell, "mv {library} {place}"))
    })?;
    Ok(dir.join("library"))
}

/// The release in the output of `rustc --version`: `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn release(rustc: &str) -> Option<String> {
    let word = rustc.split_whitespace().nth(1)?;
    Some(word.split('-').next()?.to_owned())
}

fn matching(offers: &[String], release: &str) -> Option<String> {
    offers
        .iter()
        .filter(|version| version.split(['+', '-', '~']).next() == Some(release))
        .max_by(|a, b| compare(a, b))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_this_compiler_is_chosen() {
        let release = release("rustc 1.95.0 (59807616e 2026-04-14)").unwrap();
        let offer = |version: &str| version.to_owned();
        let offers = [
            offer("1.97.1+dfsg1-1"),
            offer("1.95.0+dfsg1-2~bpo13+1"),
            offer("1.95.01+x"),
        ];
        assert_eq!(
            matching(&offers, &release).as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(matching(&offers, "1.94.0"), None);
    }
}
