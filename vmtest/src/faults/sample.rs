// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The image under test: files whose bytes anyone can work out, on the host and in the guest.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::images::recipes::{Blobs, Recipe, Scope};
use crate::images::{build, ImageSpec, Terms, Tree};
use crate::provision::Key;
use crate::Setup;

/// Sizes of the files in bytes: no page, part of a page, pages, chunks and more than one READ.
const SIZES: [usize; 12] = [
    1, 4095, 4096, 4097, 65_536, 70_001, 100_000, 131_072, 200_000, 262_145, 524_289, 1_048_577,
];
/// Files of each size.
const COPIES: usize = 2;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Its path below the root.
    pub(super) path: String,
    /// What it holds; no byte is zero, so that a zero is never right.
    pub(super) bytes: Vec<u8>,
}

/// All files, the same on every call.
pub(super) fn samples() -> Vec<Sample> {
    (0..SIZES.len() * COPIES).map(sample).collect()
}

fn sample(n: usize) -> Sample {
    filled(n, SIZES[n % SIZES.len()], format!("d{}/f{n:02}", n % 3))
}

fn filled(n: usize, len: usize, path: String) -> Sample {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    for byte in &mut bytes {
        *byte |= 1;
    }
    Sample { path, bytes }
}

/// Many small files.
pub(super) fn small() -> Vec<Sample> {
    let one = |n: usize| filled(n, 2000 + n * 13 % 5000, format!("f{n:03}"));
    (0..400).map(one).collect()
}

/// The image of mkfs.erofs with all of [`samples`]: a bootstrap and one blob.
///
/// # Errors
/// Those of the file system and of mkfs.erofs.
pub(super) fn image(setup: &Setup) -> Result<ImageSpec> {
    made(setup, "faults", samples(), Blobs::One)
}

/// The image of mkfs.erofs with all of [`small`]: a bootstrap and twenty blobs.
///
/// # Errors
/// Those of the file system and of mkfs.erofs.
pub(super) fn image_of_twenty(setup: &Setup) -> Result<ImageSpec> {
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
        terms: Terms::default(),
    };
    let mkfs = setup.erofs_utils()?.mkfs;
    let tree = Tree::open(&entry.join("root"))?;
    build::image(setup.cache(), &mkfs, &tree, &recipe)
}

/// Where an image's files are: the directory and the names in it.
pub(super) fn parts(image: &ImageSpec) -> (PathBuf, Vec<String>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_the_same_each_time_and_hold_no_zero() {
        let (one, two) = (samples(), samples());
        assert_eq!(one.len(), 24);
        for (a, b) in one.iter().zip(&two) {
            assert_eq!((&a.path, &a.bytes), (&b.path, &b.bytes));
            assert!(!a.bytes.contains(&0));
        }
        assert_ne!(one[0].bytes, one[12].bytes);
    }
}
