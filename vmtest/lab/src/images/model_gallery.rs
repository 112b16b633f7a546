// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The sample images of the model's writer, with features that mkfs.erofs cannot write.

use std::path::Path;

use anyhow::{Context, Result};
use ondine_model::write::gallery::{gallery, SampleImage};

use super::{ExpectedDifferences, ImageSpec};

/// Writes the sample images into `dir`. Also returns the names of the samples that are left out
/// because one of their devices has terabytes; `vmtest/tests/pure.rs` covers them.
///
/// # Errors
/// When an image cannot be written.
pub fn images(dir: &Path) -> Result<(Vec<ImageSpec>, Vec<&'static str>)> {
    let (huge, fit): (Vec<SampleImage>, Vec<SampleImage>) =
        gallery().into_iter().partition(SampleImage::is_huge);
    let specs = fit
        .iter()
        .map(|sample| write(dir, sample))
        .collect::<Result<_>>()?;
    Ok((specs, huge.iter().map(|sample| sample.name).collect()))
}

fn write(dir: &Path, sample: &SampleImage) -> Result<ImageSpec> {
    let image = sample
        .image()
        .with_context(|| format!("building the sample image {}", sample.name))?;
    let mut files = image.write_to_directory(dir, sample.name)?.into_iter();
    Ok(ImageSpec {
        name: sample.name.to_owned(),
        primary: files.next().context("the sample image has no file")?,
        devices: files.collect(),
        options: Vec::new(),
        source: None,
        terms: ExpectedDifferences {
            not_c: sample.c_differs,
            ..ExpectedDifferences::default()
        },
        expected: Some(sample.expected()),
    })
}
