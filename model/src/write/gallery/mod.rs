// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images, each for one feature of the format: valid, small to store, and mountable by a 7.3
//! kernel with 4 KiB pages. Every observer must produce [`SampleImage::expected`].

mod addresses;
mod attributes;
mod basics;
mod chunks;
mod devices;
mod directories;
mod metabox;
mod trees;

use super::{write, Image, ImageOptions, WriteError};
use crate::observation::Observation;
use crate::tree::Tree;

/// A sample image.
#[derive(Clone, Debug)]
pub struct SampleImage {
    /// Name for files and tests, in lower case with hyphens.
    pub name: &'static str,
    /// Feature that it shows.
    pub feature: &'static str,
    /// Contents.
    pub tree: Tree,
    /// Options of the writer.
    pub options: ImageOptions,
    /// Reason why the C driver sees something else. The sample follows the format.
    pub c_differs: Option<&'static str>,
}

impl SampleImage {
    /// Writes the image.
    ///
    /// # Errors
    /// None for the samples of [`gallery()`], which a test ensures.
    pub fn image(&self) -> Result<Image, WriteError> {
        write(&self.tree, &self.options)
    }

    /// Observation that every observer must produce.
    pub fn expected(&self) -> Observation {
        self.tree.observation(&self.options)
    }

    /// True if a device of the image is a sparse file of terabytes, which needs a host file system
    /// that can hold it and a guest that does not copy it.
    pub fn is_huge(&self) -> bool {
        self.options.may_exceed_32_bits() && self.name.ends_with("-huge")
    }
}

fn sample_image(
    name: &'static str,
    feature: &'static str,
    tree: Tree,
    options: ImageOptions,
) -> SampleImage {
    SampleImage {
        name,
        feature,
        tree,
        options,
        c_differs: None,
    }
}

impl SampleImage {
    /// Marks the sample as one that the C driver sees differently.
    fn seen_otherwise_by_c(mut self, reason: &'static str) -> Self {
        self.c_differs = Some(reason);
        self
    }
}

/// All samples, in the order of the format's sections.
pub fn gallery() -> Vec<SampleImage> {
    [
        basics::samples(),
        addresses::samples(),
        chunks::samples(),
        devices::samples(),
        directories::samples(),
        attributes::samples(),
        metabox::samples(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
