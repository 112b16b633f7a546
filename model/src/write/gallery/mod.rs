// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Named images, each for one feature of the format: valid, small to store, and mountable by a 7.3 kernel with
//! 4 KiB pages. Every observer must see [`Exhibit::expected`] in them.

mod addresses;
mod attributes;
mod basics;
mod chunks;
mod devices;
mod directories;
mod metabox;
mod sample;

use super::{write, Image, ImageOptions, WriteError};
use crate::observation::Observation;
use crate::tree::Tree;

/// An image and what it is for.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// A name for files and tests: lower case and hyphens.
    pub name: &'static str,
    /// The feature in words.
    pub feature: &'static str,
    /// What is in it.
    pub tree: Tree,
    /// How it is made.
    pub options: ImageOptions,
    /// Set when the C driver is known to see something else, with the reason; the exhibit follows the format.
    pub c_differs: Option<&'static str>,
}

impl Exhibit {
    /// Lays the image out.
    ///
    /// # Errors
    /// None for the exhibits of [`gallery()`], which a test holds true.
    pub fn image(&self) -> Result<Image, WriteError> {
        write(&self.tree, &self.options)
    }

    /// What every observer must see.
    pub fn expected(&self) -> Observation {
        self.tree.observation(&self.options)
    }

    /// Whether a device of the image is a sparse file of terabytes: such an exhibit needs a host file system that
    /// can hold one, and a guest that does not copy it.
    pub fn is_huge(&self) -> bool {
        self.options.may_exceed_32_bits() && self.name.ends_with("-huge")
    }
}

fn exhibit(
    name: &'static str,
    feature: &'static str,
    tree: Tree,
    options: ImageOptions,
) -> Exhibit {
    Exhibit {
        name,
        feature,
        tree,
        options,
        c_differs: None,
    }
}

impl Exhibit {
    /// Marks the exhibit as one that the C driver sees otherwise.
    fn seen_otherwise_by_c(mut self, reason: &'static str) -> Self {
        self.c_differs = Some(reason);
        self
    }
}

/// All exhibits, in the order of the format's sections.
pub fn gallery() -> Vec<Exhibit> {
    [
        basics::exhibits(),
        addresses::exhibits(),
        chunks::exhibits(),
        devices::exhibits(),
        directories::exhibits(),
        attributes::exhibits(),
        metabox::exhibits(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
