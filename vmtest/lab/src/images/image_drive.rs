// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The drive that carries images into a guest: an ext4 file system in a file.
//!
//! The images must be on a disk file system in the guest: a file-backed mount reads them through
//! the page cache of that file system, and reads of holes and at the end of the file are tested too.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vmtest_wire::image::{Observer, Row};
use vmtest_wire::paths::IMAGE_DISK;

use super::{disk, ImageSpec};
use crate::cache::{Cache, Key};
use crate::step::Step;

/// A drive with images.
#[derive(Clone, Debug)]
pub struct Drive {
    /// The file to attach as a block device.
    pub file: PathBuf,
    /// For each image the paths of its primary device and of its extra devices in the guest.
    pub paths: Vec<(String, Vec<String>)>,
}

impl Drive {
    /// The images `specs`, which this drive holds, as rows of a guest's job; `observers` says which
    /// drivers mount each of them.
    pub fn rows(
        &self,
        specs: &[ImageSpec],
        observers: impl Fn(&ImageSpec) -> Vec<Observer>,
    ) -> Vec<Row> {
        let both = specs.iter().zip(&self.paths);
        both.map(|(spec, (primary, devices))| Row {
            name: spec.name.clone(),
            primary: primary.clone(),
            devices: devices.clone(),
            options: spec.options.clone(),
            observers: observers(spec),
        })
        .collect()
    }

    /// The same with names that no two rows share, whatever the images are called.
    pub fn numbered_rows(
        &self,
        specs: &[ImageSpec],
        observers: impl Fn(&ImageSpec) -> Vec<Observer>,
    ) -> Vec<Row> {
        let mut rows = self.rows(specs, observers);
        for (n, row) in rows.iter_mut().enumerate() {
            row.name = format!("{n:03}-{}", row.name);
        }
        rows
    }
}

/// Packs the files of `specs` into one drive if it is not in the cache.
///
/// # Errors
/// When a file cannot be read or mkfs.ext4 fails.
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

/// Packs the files of `specs` into the file `drive` of the directory `dir`.
///
/// # Errors
/// When a file cannot be read or mkfs.ext4 fails.
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
    let step = Step::begin(cache, "drive", "packing the images into a drive")?;
    disk::filled(&file, &staged, total + total / 16 + (64 << 20))?;
    drop(step);
    fs::remove_dir_all(&staged)?;
    Ok(Drive {
        file,
        paths: paths(specs),
    })
}

fn paths(specs: &[ImageSpec]) -> Vec<(String, Vec<String>)> {
    let row = |(n, spec): (usize, &ImageSpec)| {
        let at = |slot: usize| format!("{IMAGE_DISK}/{n:03}/{slot}");
        (at(0), (1..=spec.devices.len()).map(at).collect())
    };
    specs.iter().enumerate().map(row).collect()
}

fn files(spec: &ImageSpec) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&spec.primary).chain(&spec.devices)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    let from = from.canonicalize()?;
    if fs::hard_link(&from, to).is_err() {
        // On another file system a hard link is impossible.
        fs::copy(&from, to)?;
    }
    Ok(())
}
