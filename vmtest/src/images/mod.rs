// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The images that every comparison runs on: their inputs, their making and their cache.

pub mod build;
mod decode;
pub mod drive;
pub mod extras;
pub mod gallery;
pub mod minbase;
pub mod rafs;
pub mod recipes;
mod split;

use std::path::{Path, PathBuf};

use anyhow::{bail, Result};

use crate::provision::Cache;

pub use build::Tree;
pub use recipes::Terms;

/// One image to mount: its files in slot order and how.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The row's name.
    pub name: String,
    /// The primary device (the bootstrap, when the data is elsewhere).
    pub primary: PathBuf,
    /// The extra devices, in slot order.
    pub devices: Vec<PathBuf>,
    /// Further mount options.
    pub options: Vec<String>,
    /// The tree it was made from, when there is one on disk.
    pub source: Option<PathBuf>,
    /// How it may differ from that tree.
    pub terms: Terms,
    /// What every observer must see, when it was made from a description.
    pub expected: Option<ondine_model::observation::Observation>,
}

/// The images of mkfs.erofs for `tree`: all rows, or those whose name contains `only`.
///
/// # Errors
/// When an image cannot be made, or when no row is named `only`.
pub fn matrix(
    cache: &Cache,
    mkfs: &Path,
    tree: &Tree,
    only: Option<&str>,
) -> Result<Vec<ImageSpec>> {
    let wanted: Vec<_> = recipes::RECIPES
        .iter()
        .filter(|r| only.is_none_or(|part| r.name.contains(part)))
        .collect();
    if wanted.is_empty() {
        bail!(
            "no row of the matrix is named like {:?}",
            only.unwrap_or_default()
        );
    }
    wanted
        .into_iter()
        .map(|recipe| build::image(cache, mkfs, tree, recipe))
        .collect()
}
