// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Strategies for proptest: trees with matching image options, deliberately damaged images, and
//! scripts of the on-demand protocol.
//!
//! Sizes are small and cluster around boundaries, where readers fail.

mod corrupt;
mod options;
mod protocol;
mod tree;

use proptest::prelude::*;

pub use corrupt::{boundaries, corrupt, mutate, mutations, Change, Corrupted, Mutation};
pub use options::image_options;
pub use protocol::script;
pub use tree::{tree, TreeShape};

use crate::observation::Observation;
use crate::tree::Tree;
use crate::write::{write, Image, ImageOptions, WriteError};

/// A tree and the options that its image is written with.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Contents of the image.
    pub tree: Tree,
    /// Options of the writer.
    pub options: ImageOptions,
}

impl Scenario {
    /// Lays the image out.
    ///
    /// # Errors
    /// None for the scenarios of [`scenario()`].
    pub fn image(&self) -> Result<Image, WriteError> {
        write(&self.tree, &self.options)
    }

    /// The observation that every reader must produce.
    pub fn expected(&self) -> Observation {
        self.tree.observation(&self.options)
    }
}

/// Generates any scenario that a kernel with 4 KiB pages can mount.
pub fn scenario() -> impl Strategy<Value = Scenario> {
    image_options().prop_flat_map(|options| {
        let shape = TreeShape::for_image(&options);
        (tree(shape), Just(options)).prop_map(|(tree, options)| Scenario { tree, options })
    })
}
