// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Power cuts: the machine is killed while its cache fills, and the next one finds that cache.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use super::guest::{Figures, PowerJob};
use super::{sample, FaultArgs, Outcome};
use crate::compare::look::Desk;
use crate::Setup;

/// Bytes of the disk.
const DISK: u64 = 128 << 20;
/// The power goes within so many milliseconds of the command's begin. It finds images and mounts
/// first, and what the last cut left is read whole.
const CUT_MS: std::ops::Range<u64> = 2_000..12_000;
/// How long the last guest has to read what the last cut left.
const LAST: Duration = Duration::from_secs(60);

/// Cuts the power so many times.
///
/// # Errors
/// When it could not be tried.
pub(super) fn run(setup: &Setup, args: &FaultArgs, seed: u64) -> Result<Outcome> {
    let image = sample::image(setup)?;
    let (images, names) = sample::parts(&image);
    let desk = Desk::new(setup.cache())?;
    let disk = desk.path().join("disk");
    File::create(&disk)?.set_len(DISK)?;
    let mut outcome = Outcome {
        name: "power".to_owned(),
        holds: "after a power cut all that is read is right".to_owned(),
        kernel: setup.options().kernel().as_str().to_owned(),
        rounds: 0,
        seconds: 0.0,
        seed,
        figures: Vec::new(),
        failed: None,
    };
    let mut figures = Figures::default();
    let begin = Instant::now();
    let mut rng = fastrand::Rng::with_seed(seed);
    // One guest more than cuts: it looks at what the last one left.
    for n in 0..=args.rounds {
        let over = begin.elapsed() > Duration::from_secs(args.seconds);
        let last = n == args.rounds || over;
        let job = PowerJob {
            disk: "/dev/vda".into(),
            blank: n == 0,
            seed: seed.wrapping_add(u64::from(n)),
            images: images.clone(),
            names: names.clone(),
        };
        let after = if last {
            LAST
        } else {
            Duration::from_millis(rng.u64(CUT_MS))
        };
        let boot = setup.boot()?.drive(&disk, false).power_cut(after);
        let (_, run) = desk.ask::<_, ()>(boot, "fill", &job)?;
        if run.exit_code.is_some() || !run.problems.is_empty() {
            outcome.failed = Some(format!("after cut {n}: {}", run.complaint()));
            break;
        }
        let kept = run
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("kept "));
        if let Some(kept) = kept {
            figures.add("caches compared after a cut", 1);
            figures.add("bytes found in them", kept.parse()?);
        }
        if last {
            if n > 0 && kept.is_none() {
                bail!("the last guest did not come to the end of its look within {LAST:?}");
            }
            break;
        }
        outcome.rounds += 1;
        if run.stdout.lines().any(|line| line == "filling") {
            figures.add("cuts while filling", 1);
        }
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome.figures = figures.0;
    Ok(outcome)
}
