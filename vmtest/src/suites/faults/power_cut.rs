// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Power cuts: the machine is killed while its cache fills, and the next one finds that cache.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};
use vmtest_lab::images::disk;
use vmtest_lab::Setup;
use vmtest_wire::disk::Journal;
use vmtest_wire::faults::{Figures, PowerJob};

use super::{image, FaultArgs, Outcome, POWER, PROVING};
use crate::guest_call::GuestSession;

/// Bytes of the disk.
const DISK: u64 = 128 << 20;
/// The power goes so many milliseconds after the trigger file appears, at most.
const CUT_MS: u64 = 100;
/// Time limit of a guest for reading the cache that the last cut left.
const LIMIT: Duration = Duration::from_secs(600);

/// Figure that must be nonzero for the run to prove anything.
const SYNCED: &str = "bytes of them that a sync had made durable";

/// Cuts the power so many times.
///
/// # Errors
/// When the guest could not run the job.
pub(super) fn run(setup: &Setup, args: &FaultArgs, seed: u64) -> Result<Outcome> {
    let image = image::image(setup)?;
    let (images, names) = image::parts(&image);
    let session = GuestSession::new(setup.cache())?;
    let [disk, trigger, synced_list] =
        ["disk", "filling", "synced"].map(|name| session.path().join(name));
    disk::empty(&disk, args.disk.disk, Journal::With, DISK)?;
    let mut outcome = Outcome {
        name: POWER.to_owned(),
        holds: "a power cut spoils no read, and loses nothing that was synced".to_owned(),
        kernel: setup.options().kernel().as_str().to_owned(),
        disk: args.disk.disk,
        rounds: 0,
        seconds: 0.0,
        seed,
        figures: Vec::new(),
        failed: None,
        incomplete: false,
    };
    let mut figures = Figures::default();
    let begin = Instant::now();
    let mut rng = fastrand::Rng::with_seed(seed);
    // One guest more than cuts: it looks at what the last one left.
    for n in 0.. {
        let over = begin.elapsed() > Duration::from_secs(args.seconds);
        let proves = figures.has(SYNCED) || n >= PROVING;
        let last = (n >= args.rounds && proves) || over;
        let job = PowerJob {
            disk: "/dev/vda".into(),
            fs: args.disk.disk,
            trigger: (!last).then(|| trigger.clone()),
            synced_list: synced_list.clone(),
            seed: seed.wrapping_add(u64::from(n)),
            images: images.clone(),
            names: names.clone(),
        };
        let after = Duration::from_millis(rng.u64(..CUT_MS));
        let boot = setup.boot()?.drive(&disk, false).limit(LIMIT);
        let boot = boot.power_cut(&trigger, after);
        let (_, run) = session.attempt(boot, &job)?;
        let wanted = if last { Some(0) } else { None };
        if run.exit_code != wanted || !run.problems.is_empty() {
            outcome.failed = Some(format!("after cut {n}: {}", run.complaint()));
            break;
        }
        let look = run
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("kept ")?.split_once(" synced "));
        let Some((kept, synced)) = look else {
            bail!("no look at the cache within {LIMIT:?}: {}", run.complaint());
        };
        if n > 0 {
            figures.add("caches compared after a cut", 1);
            figures.add("bytes found in them", kept.parse()?);
            figures.add(SYNCED, synced.parse()?);
        }
        if last {
            break;
        }
        ensure!(
            trigger.exists(),
            "the guest did not begin to fill: {}",
            run.complaint()
        );
        std::fs::remove_file(&trigger)?;
        outcome.rounds += 1;
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome.figures = figures.0;
    Ok(outcome.judged(args, Some(SYNCED)))
}
