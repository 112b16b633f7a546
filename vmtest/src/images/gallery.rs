// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The images of the model's own writer: what mkfs.erofs cannot make.

use std::path::Path;

use anyhow::{Context, Result};
use ondine_model::write::gallery::{gallery, Exhibit};

use super::{ImageSpec, Terms};

/// The gallery's images, written into `dir`, and the names of those that are left out because a
/// device of theirs has terabytes: the in-process tests have them.
///
/// # Errors
/// When an image cannot be written.
pub fn images(dir: &Path) -> Result<(Vec<ImageSpec>, Vec<&'static str>)> {
    let (huge, fit): (Vec<Exhibit>, Vec<Exhibit>) =
        gallery().into_iter().partition(Exhibit::is_huge);
    let specs = fit
        .iter()
        .map(|exhibit| write(dir, exhibit))
        .collect::<Result<_>>()?;
    Ok((specs, huge.iter().map(|exhibit| exhibit.name).collect()))
}

fn write(dir: &Path, exhibit: &Exhibit) -> Result<ImageSpec> {
    let image = exhibit
        .image()
        .with_context(|| format!("laying out {}", exhibit.name))?;
    let mut files = image.write_to_directory(dir, exhibit.name)?.into_iter();
    Ok(ImageSpec {
        name: exhibit.name.to_owned(),
        primary: files.next().context("an image of no file")?,
        devices: files.collect(),
        options: Vec::new(),
        source: None,
        terms: Terms {
            not_c: exhibit.c_differs,
            ..Terms::default()
        },
        expected: Some(exhibit.expected()),
    })
}
