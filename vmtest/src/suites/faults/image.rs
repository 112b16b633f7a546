// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The image under test: files whose bytes anyone can work out, on the host and in the guest.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use vmtest_lab::cache::Key;
use vmtest_lab::images::recipes::{Blobs, Recipe, Scope};
use vmtest_lab::images::{build, ExpectedDifferences, ImageSpec, Tree};
use vmtest_lab::Setup;
use vmtest_wire::fixtures::{samples, small, Sample};

/// The image of mkfs.erofs with all of [`samples`]: a bootstrap and one blob.
///
/// # Errors
/// When a file cannot be written or mkfs.erofs fails.
pub(crate) fn image(setup: &Setup) -> Result<ImageSpec> {
    made(setup, "faults", samples(), Blobs::One)
}

/// The image of mkfs.erofs with all of [`small`]: a bootstrap and twenty blobs.
///
/// # Errors
/// When a file cannot be written or mkfs.erofs fails.
pub(crate) fn image_of_twenty(setup: &Setup) -> Result<ImageSpec> {
    made(setup, "density", small(), Blobs::Twenty)
}

fn made(
    setup: &Setup,
    name: &'static str,
    samples: Vec<Sample>,
    blobs: Blobs,
) -> Result<ImageSpec> {
    let sizes: Vec<usize> = samples.iter().map(|sample| sample.bytes.len()).collect();
    let key = Key::new()
        .add("tree of samples 1")
        .add(format!("{sizes:?}"));
    let entry = setup.cache().step(&format!("{name}-tree"), &key, |draft| {
        for sample in samples {
            let path = draft.join("root").join(&sample.path);
            fs::create_dir_all(path.parent().unwrap_or(draft))?;
            fs::write(path, sample.bytes)?;
        }
        Ok(())
    })?;
    let recipe = Recipe {
        name,
        flags: &["--chunksize=65536"],
        blobs,
        scope: Scope::Whole,
        terms: ExpectedDifferences::default(),
    };
    let mkfs = setup.erofs_utils()?.mkfs;
    let tree = Tree::open(&entry.join("root"))?;
    build::image(setup.cache(), &mkfs, &tree, &recipe)
}

/// Returns the directory of an image's files and their names in it.
pub(crate) fn parts(image: &ImageSpec) -> (PathBuf, Vec<String>) {
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let dir = image
        .primary
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let names = std::iter::once(&image.primary).chain(&image.devices);
    (dir, names.map(name).collect())
}
