// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the tests on real images need from outside: mkfs.erofs and the samples.

use std::path::{Path, PathBuf};
use std::process::Command;

/// mkfs.erofs 1.9 or later, or a failed test that says how to get one.
pub(crate) fn mkfs() -> PathBuf {
    let built = std::env::var_os("HOME")
        .map(|home| Path::new(&home).join(".cache/boot/erofs-utils/mkfs/mkfs.erofs"));
    let named = std::env::var_os("ONDINE_MKFS_EROFS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("mkfs.erofs"));
    let mut tried = Vec::new();
    for tool in named.into_iter().chain(on_path).chain(built) {
        if let Ok(output) = Command::new(&tool).arg("--version").output() {
            let version = String::from_utf8_lossy(&output.stdout)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            let number = version.rsplit(' ').next().unwrap_or_default();
            let mut parts = number
                .split('.')
                .map(|part| part.parse::<u32>().unwrap_or(0));
            if (parts.next(), parts.next()) >= (Some(1), Some(9)) {
                return tool;
            }
            tried.push(format!("{} is {version:?}", tool.display()));
        }
    }
    panic!(
        "these tests need mkfs.erofs 1.9 or later, found {tried:?}; build erofs-utils 1.9.4 and put its path into \
         ONDINE_MKFS_EROFS (`cargo vmtest doctor` says how)"
    );
}

/// Runs mkfs.erofs on a directory.
pub(crate) fn make(image: &Path, source: &Path, options: &[&str]) {
    let output = Command::new(mkfs())
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
