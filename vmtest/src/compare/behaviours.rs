// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Running the checks of [`crate::guest::behave`] in a guest.

use std::fs;
use std::time::Duration;

use anyhow::{bail, Result};

use super::look::Desk;
use super::{minbase, ImageSpec};
use crate::guest::behave::{BehaveJob, Checked};
use crate::guest::job::{Observer, Row};
use crate::images::recipes::{Recipe, RECIPES};
use crate::images::{build, drive, Tree};
use crate::provision::Key;
use crate::vm::Boot;
use crate::Setup;

/// The images that every behaviour is tried on: inline data with attributes in every form, and
/// chunks in a blob.
const IMAGES: [&str; 2] = ["prefixes-plain", "48bit-chunk"];

/// How long the guest may take: with every sanitizer on a busy host, many times what it takes else.
const LIMIT: Duration = Duration::from_secs(1200);

/// Bytes of the writable drive.
const STORE: u64 = 256 << 20;

/// All checks with the observers that `keep` lets through, in one guest.
///
/// # Errors
/// When it could not be tried, or the guest's kernel complained.
pub fn run(setup: &Setup, boot: Boot, keep: impl Fn(&Observer) -> bool) -> Result<Vec<Checked>> {
    let specs = specs(setup)?;
    let drive = drive::pack(setup.cache(), &specs)?;
    let desk = Desk::new(setup.cache())?;
    let store = desk.path().join("store");
    drive::format(setup.cache(), &store, None, STORE)?;
    let mut observers = Observer::all();
    observers.retain(keep);
    let rows = specs.iter().zip(&drive.paths);
    let job = BehaveJob {
        drive: "/dev/vda".to_owned(),
        store: "/dev/vdb".to_owned(),
        rows: rows
            .map(|(spec, (primary, devices))| Row {
                name: spec.name.clone(),
                primary: primary.clone(),
                devices: devices.clone(),
                options: Vec::new(),
                observers: observers.clone(),
            })
            .collect(),
    };
    let boot = boot.limit(LIMIT).drive(&drive.file, true);
    let boot = boot.drive(&store, false);
    let (answer, run) = desk.ask(boot, "behave", &job)?;
    match answer {
        Some(checked) => Ok(checked),
        None => {
            run.require()?;
            bail!("the guest gave no answer")
        }
    }
}

/// [`IMAGES`], then the image that holds another one.
pub(super) fn specs(setup: &Setup) -> Result<Vec<ImageSpec>> {
    let cache = setup.cache();
    let mkfs = setup.erofs_utils()?.mkfs;
    let tree = Tree::open(&minbase::tree(cache)?)?;
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
