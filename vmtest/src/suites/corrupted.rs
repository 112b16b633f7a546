// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images with random damage, mounted by the module: it must say what the model says, and above
//! all survive.

use anyhow::{Context, Result};
use ondine_model::generate::corrupt;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use vmtest_lab::images::{image_drive, ExpectedDifferences, ImageSpec};
use vmtest_lab::Setup;
use vmtest_wire::image::{Backing, Limits, Observer};

use super::compare::judge;
use super::compare::verdict::Verdict;
use crate::guest_call::GuestSession;

/// Mounts `count` damaged images, the same ones for the same `seed`, and judges each; then one without any
/// damage.
///
/// The name of a verdict is the image's number; its notes tell what was done to the image.
///
/// # Errors
/// When the guest could not run the job, or when the guest's kernel complained.
pub fn run(setup: &Setup, seed: u64, count: usize) -> Result<(Vec<Verdict>, Verdict)> {
    let session = GuestSession::new(setup.cache())?;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut specs = Vec::new();
    let mut wounds = Vec::new();
    while specs.len() <= count {
        let mut corrupted = corrupt()
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("no damaged image: {reason}"))?
            .current();
        let is_last = specs.len() == count;
        if is_last {
            corrupted.mutations.clear();
        }
        let (image, done) = corrupted.image().context("laying an image out")?;
        let total: u64 = image.primary.len() + image.blobs.iter().map(|b| b.len()).sum::<u64>();
        if total > LARGE {
            continue;
        }
        let name = if is_last {
            "sound".to_owned()
        } else {
            format!("damaged-{}", specs.len())
        };
        let mut files = image.write_to_directory(session.path(), &name)?.into_iter();
        specs.push(ImageSpec {
            name,
            primary: files.next().context("an image of no file")?,
            devices: files.collect(),
            options: Vec::new(),
            source: None,
            terms: ExpectedDifferences::default(),
            expected: None,
        });
        wounds.push(done);
    }
    let drive = image_drive::pack_in(setup.cache(), session.path(), &specs)?;
    let mut verdicts = judge(setup, &specs, &drive, Limits::hostile(), |_| {
        vec![Observer::new("ondine", Backing::File)]
    })?;
    for (verdict, done) in verdicts.iter_mut().zip(wounds) {
        verdict.notes.extend(done);
    }
    keep(setup, &specs, &verdicts)?;
    let sound = verdicts.pop().context("no verdict")?;
    Ok((verdicts, sound))
}

/// A drive of all images holds no more than this of one.
const LARGE: u64 = 64 << 20;

/// Keeps the images on which accounts differ, for `vmtest diff`.
fn keep(setup: &Setup, specs: &[ImageSpec], verdicts: &[Verdict]) -> Result<()> {
    for (spec, verdict) in specs.iter().zip(verdicts) {
        if verdict.holds() {
            continue;
        }
        let dir = setup.cache().dir("findings")?;
        for file in std::iter::once(&spec.primary).chain(&spec.devices) {
            let name = file.file_name().context("a file of no name")?;
            std::fs::copy(file, dir.join(name))?;
        }
        eprintln!(
            "kept for `cargo vmtest diff`: {}/{}.erofs",
            dir.display(),
            spec.name
        );
    }
    Ok(())
}
