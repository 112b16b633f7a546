// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Strategies for proptest: arbitrary trees with image options that go with them, images damaged on purpose, and
//! scripts of the on-demand protocol.
//!
//! Sizes are small and lean to boundaries: what breaks a reader is not how much there is but where it ends.

mod corrupt;
mod options;
mod protocol;
mod tree;

use proptest::prelude::*;

pub use corrupt::{boundaries, corrupt, damages, strike, Change, Corrupted, Damage};
pub use options::image_options;
pub use protocol::script;
pub use tree::{tree, Taste};

use crate::observation::Observation;
use crate::tree::Tree;
use crate::write::{write, Image, ImageOptions, WriteError};

/// A tree and how its image is made.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is in the image.
    pub tree: Tree,
    /// How it is laid out.
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

    /// What every reader must see.
    pub fn expected(&self) -> Observation {
        self.tree.observation(&self.options)
    }
}

/// Any scenario that a kernel with 4 KiB pages mounts.
pub fn scenario() -> impl Strategy<Value = Scenario> {
    image_options().prop_flat_map(|options| {
        let taste = Taste::for_image(&options);
        (tree(taste), Just(options)).prop_map(|(tree, options)| Scenario { tree, options })
    })
}
