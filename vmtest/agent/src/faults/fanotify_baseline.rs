// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Baseline for the kill of a daemon: the mainline erofs driver on sparse files filled by a
//! fanotify handler. Pages that read as zeros are counted, and are not a failure.

use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, bail, Result};
use vmtest_wire::faults::{Figures, ZEROS};

use super::fixture::Fixture;
use super::hang_detector;
use super::readers::READERS;
use crate::fanotify_handler::{Handling, LATENCY_US};
use crate::mounts::Mounted;

const PAGE: usize = 4096;

/// Runs one round: one kill of the handler under readers.
pub(super) fn round(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let [bootstrap, blob] = &fixture.names[..] else {
        bail!("the image does not have exactly one blob");
    };
    let (primary, sparse) = (
        fixture.cache.join("bootstrap"),
        fixture.cache.join("sparse"),
    );
    fs::copy(fixture.blobs.join(bootstrap), &primary)?;
    let source = fixture.blobs.join(blob);
    File::create(&sparse)?.set_len(fs::metadata(&source)?.len())?;
    rustix::fs::sync();
    let handling = Handling {
        file: sparse.clone(),
        source,
    };
    let handler = handling.start(&fixture.program)?;
    let options = format!("device={}", sparse.display());
    let mounted = Mounted::plain("erofs", &primary, &fixture.point, &options)?
        .map_err(|errno| anyhow!("mounting with the mainline driver: {errno}"))?;

    let done = AtomicUsize::new(0);
    thread::scope(|scope| -> Result<()> {
        for n in 0..READERS {
            let (done, samples, point) = (&done, &fixture.samples, &fixture.point);
            scope.spawn(move || {
                for at in 0..samples.len() {
                    let sample = &samples[(at + n * 3) % samples.len()];
                    // The contents are checked at the end, by `zeros()`.
                    let _ = fs::read(point.join(&sample.path));
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let moment = rng.usize(0..fixture.samples.len());
        hang_detector::until("the readers read", || done.load(Relaxed) >= moment)?;
        thread::sleep(Duration::from_micros(rng.u64(..LATENCY_US)));
        handler.kill()
    })?;
    let zeros = zeros(fixture)?;
    // A successor marks the file again, as one would do for repair.
    let next = handling.start(&fixture.program)?;
    let still = self::zeros(fixture)?;
    next.kill()?;
    fixture.unmount(mounted)?;
    figures.add(ZEROS, zeros);
    figures.add("of them still zeros under a new handler", still);
    let pages: usize = fixture
        .samples
        .iter()
        .map(|s| s.bytes.len().div_ceil(PAGE))
        .sum();
    figures.add("pages in all", pages as u64);
    Ok(())
}

/// Counts the pages that read as zeros without an error. Samples contain no zero byte.
fn zeros(fixture: &Fixture) -> Result<u64> {
    let mut count = 0;
    for sample in fixture.samples.iter() {
        let bytes = fs::read(fixture.point.join(&sample.path))?;
        let empty = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
        count += bytes.chunks(PAGE).filter(empty).count() as u64;
    }
    Ok(count)
}
