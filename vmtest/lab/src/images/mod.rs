// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The images that the suites mount, and their input trees. Images are kept in the cache.
//!
//! | module | contents |
//! | --- | --- |
//! | [`debian_root`], [`special_files`] | the default input tree |
//! | [`recipes`] | the image matrix: options of mkfs.erofs and expected differences |
//! | [`build`] | images made by mkfs.erofs |
//! | [`split`] | distribution of a tree's files over blobs |
//! | [`one_file`] | images with a single file |
//! | [`model_gallery`] | images of the model's writer |
//! | [`rafs`], [`decode`] | RAFS v6 images and their decoded blobs |
//! | [`disk`] | file systems in files, empty or filled |
//! | [`image_drive`] | the drive that carries images into a guest |

pub mod build;
pub mod debian_root;
mod decode;
pub mod disk;
pub mod image_drive;
pub mod model_gallery;
pub mod one_file;
pub mod rafs;
pub mod recipes;
pub mod special_files;
mod split;

use std::path::{Path, PathBuf};

use anyhow::{bail, Result};

use crate::cache::Cache;

pub use build::Tree;
pub use recipes::ExpectedDifferences;

/// An image to mount: its files, mount options and expected contents.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The row's name.
    pub name: String,
    /// The primary device (the bootstrap, if the data is in blobs).
    pub primary: PathBuf,
    /// The extra devices, in slot order.
    pub devices: Vec<PathBuf>,
    /// Further mount options.
    pub options: Vec<String>,
    /// The input tree, if the image was made from one on disk.
    pub source: Option<PathBuf>,
    /// The expected differences between the image and that tree.
    pub terms: ExpectedDifferences,
    /// The observation that every observer must make, if the image was made from a description.
    pub expected: Option<ondine_model::observation::Observation>,
}

/// The images of the matrix for `tree`: all rows, or those with a name that contains `only`.
///
/// # Errors
/// When an image cannot be made, or no row's name contains `only`.
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
            "no row of the image matrix has a name that contains {:?}",
            only.unwrap_or_default()
        );
    }
    wanted
        .into_iter()
        .map(|recipe| build::image(cache, mkfs, tree, recipe))
        .collect()
}
