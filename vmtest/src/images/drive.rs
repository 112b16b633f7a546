// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The drive that carries images into the guest: an ext4 file system in a file.
//!
//! The images must lie on a real disk file system there: a file-backed mount reads them through
//! that file system's page cache, and what it does at a hole or at the end of the file is part of
//! what is tested.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::ImageSpec;
use crate::provision::{Cache, Key, Step};

/// Where the guest mounts the drive.
pub const MOUNT_POINT: &str = "/run/ondine/images";

/// The image files of `specs` as the guest will see them, and the drive that holds them.
#[derive(Clone, Debug)]
pub struct Drive {
    /// The file to attach as a block device.
    pub file: PathBuf,
    /// For each image its primary's and its devices' paths in the guest.
    pub paths: Vec<(String, Vec<String>)>,
}

/// Packs `specs` into one drive, kept in the cache.
///
/// # Errors
/// Those of mkfs.ext4 and of the file system.
pub fn pack(cache: &Cache, specs: &[ImageSpec]) -> Result<Drive> {
    let mut key = Key::new().add("drive 1");
    for (n, spec) in specs.iter().enumerate() {
        for file in files(spec) {
            let meta = fs::metadata(file).with_context(|| format!("no {}", file.display()))?;
            key = key
                .add(n.to_le_bytes())
                .add(file.as_os_str().as_encoded_bytes());
            for word in [meta.size(), meta.ino()] {
                key = key.add(word.to_le_bytes());
            }
            for word in [meta.mtime(), meta.mtime_nsec()] {
                key = key.add(word.to_le_bytes());
            }
        }
    }
    let entry = cache.step("drive", &key, |draft| {
        pack_in(cache, draft, specs).map(drop)
    })?;
    Ok(Drive {
        file: entry.join("drive"),
        paths: paths(specs),
    })
}

/// Packs `specs` into the file `drive` of the directory `dir`.
///
/// # Errors
/// Those of mkfs.ext4 and of the file system.
pub fn pack_in(cache: &Cache, dir: &Path, specs: &[ImageSpec]) -> Result<Drive> {
    let staged = dir.join("staged");
    let mut total = 0;
    for (n, spec) in specs.iter().enumerate() {
        let row = staged.join(format!("{n:03}"));
        fs::create_dir_all(&row)?;
        for (slot, file) in files(spec).enumerate() {
            total += fs::metadata(file)?.len();
            link(file, &row.join(slot.to_string()))?;
        }
    }
    let file = dir.join("drive");
    format(cache, &file, Some(&staged), total + total / 16 + (64 << 20))?;
    fs::remove_dir_all(&staged)?;
    Ok(Drive {
        file,
        paths: paths(specs),
    })
}

fn paths(specs: &[ImageSpec]) -> Vec<(String, Vec<String>)> {
    let row = |(n, spec): (usize, &ImageSpec)| {
        let at = |slot: usize| format!("{MOUNT_POINT}/{n:03}/{slot}");
        (at(0), (1..=spec.devices.len()).map(at).collect())
    };
    specs.iter().enumerate().map(row).collect()
}

/// A new ext4 file system of `bytes`, holding the tree `from`.
///
/// # Errors
/// Those of mkfs.ext4.
pub fn format(cache: &Cache, drive: &Path, from: Option<&Path>, bytes: u64) -> Result<()> {
    File::create(drive)?.set_len(bytes)?;
    let step = Step::begin(cache, "drive", "packing the images into a drive")?;
    let shell = Shell::new()?;
    // Debian keeps it where an ordinary PATH does not look.
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let mut tool = cmd!(shell, "mkfs.ext4 -q -F -b 4096 -m 0 -O ^has_journal")
        .env("PATH", path)
        .args(["-E", "lazy_itable_init=0"]);
    if let Some(from) = from {
        tool = tool.arg("-d").arg(from);
    }
    step.run(tool.arg(drive))
}

fn files(spec: &ImageSpec) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&spec.primary).chain(&spec.devices)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    let from = from.canonicalize()?;
    if fs::hard_link(&from, to).is_err() {
        // Another file system: its bytes, then.
        fs::copy(&from, to)?;
    }
    Ok(())
}
