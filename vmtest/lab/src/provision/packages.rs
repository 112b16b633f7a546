// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Packages of the machine's distribution.

use std::process::Command;

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use crate::cache::Cache;
use crate::step::Step;

/// The packages of Debian 12 that the harness needs, each with its purpose.
pub const NEEDED: &[(&str, &str)] = &[
    ("acl", "ACLs in test trees"),
    ("attr", "extended attributes in test trees"),
    ("autoconf", "erofs-utils"),
    ("automake", "erofs-utils"),
    ("bc", "kernel build"),
    ("bison", "kernel build"),
    ("btrfs-progs", "caches and images on btrfs"),
    ("busybox-static", "small programs for guests"),
    ("clang-19", "kernel build"),
    ("cmake", "nydus"),
    ("cpio", "kernel build"),
    ("debootstrap", "Debian's keys and a root tree"),
    ("e2fsprogs", "ext4 stores"),
    ("file", "virtme-ng"),
    ("flex", "kernel build"),
    ("gcc", "kernel build"),
    ("kmod", "kernel build"),
    ("libc6-dev", "host tools of the kernel build"),
    ("libcap2-bin", "capabilities in test trees"),
    ("libclang-19-dev", "bindgen"),
    ("libelf-dev", "kernel build"),
    ("liblz4-dev", "erofs-utils"),
    ("libssl-dev", "kernel build, nydus"),
    ("libtool", "erofs-utils"),
    ("libzstd-dev", "erofs-utils"),
    ("lld-19", "kernel build"),
    ("llvm-19", "kernel build, symbol check"),
    ("make", "kernel build"),
    ("mmdebstrap", "the default root tree"),
    ("pkg-config", "erofs-utils, nydus"),
    ("python3-venv", "virtme-ng"),
    ("qemu-system-x86", "guests"),
    ("rsync", "kernel build"),
    ("squashfs-tools", "images in a squashfs"),
    ("udev", "virtme-ng"),
    ("util-linux", "mount, losetup, setsid"),
    ("uuid-dev", "erofs-utils"),
    ("xfsprogs", "caches and images on XFS"),
    ("xz-utils", "kernel source"),
    ("zlib1g-dev", "erofs-utils"),
    ("zstd", "kernel build"),
];

/// The packages of [`NEEDED`] that are not installed.
///
/// # Errors
/// When there is no `dpkg-query`.
pub fn missing() -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(NEEDED.iter().map(|(name, _)| name))
        .output()
        .context(
            "no dpkg-query: the harness can install the packages that it needs on Debian 12 or later only",
        )?;
    Ok(not_installed(&String::from_utf8_lossy(&output.stdout)))
}

fn not_installed(listing: &str) -> Vec<&'static str> {
    let installed = |name: &str| {
        listing
            .lines()
            .any(|line| line.split_once(' ') == Some((name, "installed")))
    };
    NEEDED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !installed(name))
        .collect()
}

/// The command line that installs `packages`.
pub fn remedy(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs the missing packages.
///
/// # Errors
/// When apt fails. Without root rights, the error names the command to run.
pub fn ensure(cache: &Cache) -> Result<()> {
    if missing()?.is_empty() {
        return Ok(());
    }
    let _lock = cache.lock("packages")?;
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "these packages are missing; as root, run: {}",
            remedy(&missing)
        );
    }
    let step = Step::begin(
        cache,
        "packages",
        format!("installing {} packages", missing.len()),
    )?;
    let shell = Shell::new()?;
    let _quiet = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    let wait = [
        "-o",
        "DPkg::Lock::Timeout=600",
        "-o",
        "Acquire::Check-Valid-Until=false",
    ];
    // A failure is ignored: the packages may be found even if one of the sources is broken.
    let _ = step.run(cmd!(shell, "apt-get {wait...} update"));
    step.run(cmd!(
        shell,
        "apt-get {wait...} install --yes --no-install-recommends --no-upgrade {missing...}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let mut listing: String = NEEDED
            .iter()
            .map(|(name, _)| format!("{name} installed\n"))
            .collect();
        assert!(not_installed(&listing).is_empty());
        listing = listing.replace("bison installed", "bison config-files");
        listing = listing.replace("flex installed\n", "");
        assert_eq!(not_installed(&listing), ["bison", "flex"]);
    }

    #[test]
    fn the_list_is_in_order_and_names_each_once() {
        assert!(NEEDED.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
