// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images with a single file, `large`, whose data is in a blob in chunks of 1 MiB.

use std::fs;
use std::path::Path;

use anyhow::Result;
use vmtest_wire::fixtures::pattern;

use super::recipes::{recipe, Recipe};
use super::{build, ImageSpec, Tree};
use crate::cache::{Cache, Key};

/// Makes the image with a file of `mib` MiB if it is not in the cache. The file's contents do not
/// repeat, so that chunks cannot be shared.
///
/// # Errors
/// When mkfs.erofs fails.
pub fn one_file(cache: &Cache, mkfs: &Path, mib: u64) -> Result<ImageSpec> {
    let key = Key::new().add("large file 2").add(mib.to_le_bytes());
    let entry = cache.step("large-file", &key, |draft| {
        fs::create_dir(draft.join("tree"))?;
        let bytes = pattern(mib, usize::try_from(mib << 20)?);
        Ok(fs::write(draft.join("tree/large"), bytes)?)
    })?;
    let recipe = Recipe {
        name: "large",
        ..*recipe("chunk-1m")?
    };
    build::image(cache, mkfs, &Tree::open(&entry.join("tree"))?, &recipe)
}
