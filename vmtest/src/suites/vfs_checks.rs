// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The VFS checks: runs [`vmtest_agent::vfs_checks`] in a guest.

use std::fs;
use std::time::Duration;

use anyhow::{bail, Result};
use vmtest_lab::cache::Key;
use vmtest_lab::images::recipes::{Recipe, RECIPES};
use vmtest_lab::images::{build, debian_root, disk, image_drive, ImageSpec, Tree};
use vmtest_lab::vm::Boot;
use vmtest_lab::Setup;
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::image::Observer;
use vmtest_wire::vfs_checks::{CheckResult, VfsCheckJob};

use crate::guest_call::GuestSession;

/// The images that every behaviour is tried on: inline data with attributes in every form, and
/// chunks in a blob.
const IMAGES: [&str; 2] = ["prefixes-plain", "48bit-chunk"];

/// Time limit of the guest: sanitizers on a busy host take many times longer than usual.
const LIMIT: Duration = Duration::from_secs(1200);

/// Bytes of the writable drive.
const STORE: u64 = 256 << 20;

/// All checks on a disk with `fs`, with the observers that `keep` lets through, in one guest.
///
/// # Errors
/// When the guest could not run the job, or the guest's kernel complained.
pub fn run(
    setup: &Setup,
    boot: Boot,
    fs: DiskFs,
    keep: impl Fn(&Observer) -> bool,
) -> Result<Vec<CheckResult>> {
    let specs = specs(setup)?;
    let drive = image_drive::pack(setup.cache(), &specs)?;
    let session = GuestSession::new(setup.cache())?;
    let store = session.path().join("store");
    disk::empty(&store, fs, Journal::Without, STORE)?;
    let mut observers = Observer::all();
    observers.retain(keep);
    let job = VfsCheckJob {
        drive: "/dev/vda".to_owned(),
        store: "/dev/vdb".to_owned(),
        disk: fs,
        shared: session.path().to_owned(),
        rows: drive.rows(&specs, |_| observers.clone()),
    };
    let boot = boot.limit(LIMIT).drive(&drive.file, true);
    let boot = boot.drive(&store, false);
    session.call(boot, &job)
}

/// [`IMAGES`], then the image that holds another one.
pub(super) fn specs(setup: &Setup) -> Result<Vec<ImageSpec>> {
    let cache = setup.cache();
    let mkfs = setup.erofs_utils()?.mkfs;
    let tree = Tree::open(&debian_root::tree(cache)?)?;
    let recipe = |name: &str| -> Result<&Recipe> {
        match RECIPES.iter().find(|r| r.name == name) {
            Some(recipe) => Ok(recipe),
            None => bail!("no recipe is called {name}"),
        }
    };
    let mut specs = Vec::new();
    for name in IMAGES {
        specs.push(build::image(cache, &mkfs, &tree, recipe(name)?)?);
    }
    let inner = specs[0].primary.clone();
    let key = Key::new()
        .add("nested 1")
        .add(inner.as_os_str().as_encoded_bytes());
    let dir = cache.step("nested", &key, |draft| {
        fs::create_dir(draft.join("tree"))?;
        fs::copy(&inner, draft.join("tree/inner"))?;
        Ok(())
    })?;
    let nested = Recipe {
        name: "nested",
        ..*recipe("plain-4k")?
    };
    specs.push(build::image(
        cache,
        &mkfs,
        &Tree::open(&dir.join("tree"))?,
        &nested,
    )?);
    Ok(specs)
}
