// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The mkfs.erofs program that the tests run.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Oldest version (major, minor) that knows all options used here.
const OLDEST: (u32, u32) = (1, 9);

static FOUND: LazyLock<Result<PathBuf, String>> = LazyLock::new(search);

/// Path of a mkfs.erofs that is new enough: `$ONDINE_MKFS_EROFS` if set, else the newest of those built by
/// `cargo vmtest setup` and those on `$PATH`.
///
/// # Errors
/// A sentence that says how to get one.
///
/// # Panics
/// When `$ONDINE_MKFS_EROFS` names something else: the tests were asked for, so skipping them would hide the mistake.
pub(crate) fn find() -> Result<&'static Path, String> {
    FOUND.as_deref().map_err(Clone::clone)
}

fn search() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("ONDINE_MKFS_EROFS") {
        let version = version(&named);
        assert!(
            version >= Some(OLDEST),
            "ONDINE_MKFS_EROFS={} is not mkfs.erofs 1.9 or later: found version {version:?}",
            Path::new(&named).display()
        );
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|directory| directory.join("mkfs.erofs"));
    built()
        .into_iter()
        .chain(on_path)
        .filter_map(|program| Some((version(&program)?, program)))
        .filter(|(version, _)| *version >= OLDEST)
        .max()
        .map(|(_, program)| program)
        .ok_or_else(|| "needs mkfs.erofs 1.9 or later; run `cargo vmtest setup`".to_owned())
}

/// Programs in `erofs-utils-<hash>` of the cache directory of `cargo vmtest setup`.
fn built() -> Vec<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|directory| !directory.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"),
    };
    let Ok(entries) = fs::read_dir(cache.join("ondine")) else {
        return Vec::new();
    };
    let kits = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(b"erofs-utils-")
        });
    kits.flat_map(|kit| ["bin", "sbin"].map(|part| kit.join(part).join("mkfs.erofs")))
        .collect()
}

/// Major and minor version that `program` reports; `None` when it does not run.
fn version(program: impl AsRef<OsStr>) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut parts = text.lines().next()?.rsplit(' ').next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Runs mkfs.erofs on a directory.
pub(crate) fn make(image: &Path, source: &Path, options: &[&str]) {
    let output = Command::new(find().expect("tests run only when it was found"))
        .args(options)
        .arg(image)
        .arg(source)
        .output()
        .expect("mkfs.erofs runs");
    assert!(
        output.status.success(),
        "mkfs.erofs {options:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
