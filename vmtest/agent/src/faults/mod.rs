// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Faults of daemons, disks and tasks, injected into a guest that reads on-demand mounts.

mod daemon;
mod daemon_kill;
mod density;
mod disk_errors;
mod fanotify_baseline;
mod fixture;
mod hang_detector;
mod injected_failures;
mod misbehave;
mod persistence;
mod power_cut;
mod readers;
mod signals;
mod unmount;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vmtest_wire::faults::{Fault, FaultAnswer, FaultJob, Figures};

pub(crate) use daemon::serve;
pub(crate) use density::run as density;
use fixture::Fixture;
pub(crate) use power_cut::fill;

use crate::leak_counters::{grown, Count};

/// Growth of a kind of objects that is no leak: SLUB keeps that many free ones for the processors, and
/// counts them as in use. A round has some hundred failures.
const SPARE: u64 = 64;

/// Runs the rounds of `job`, and further ones until the fault has had an effect. Stops at the first
/// failed round, and when the time is over.
///
/// # Errors
/// The fixture cannot be set up. A failed round is part of the answer.
pub(crate) fn run(job: &FaultJob) -> Result<FaultAnswer> {
    let round: fn(&Fixture, u64, &mut Figures) -> Result<()> = match job.fault {
        Fault::Kill => daemon_kill::round,
        Fault::Misbehave => misbehave::round,
        Fault::Unmount => unmount::round,
        Fault::Signal => signals::round,
        Fault::Rival => fanotify_baseline::round,
        Fault::Full => disk_errors::no_space,
        Fault::BadBlocks => disk_errors::bad_blocks,
        Fault::NoMemory => injected_failures::no_memory,
        Fault::BadRequests => injected_failures::bad_requests,
    };
    let fixture = Fixture::new(job)?;
    let mut answer = FaultAnswer::default();
    let begin = Instant::now();
    let mut counts = Vec::new();
    if job.fault.is_injected() {
        // What the first failures leave in the kernel's caches is no leak.
        round(&fixture, job.seed, &mut Figures::default()).context("warming up")?;
        counts.push(Count::now()?);
    }
    for n in 0.. {
        if n >= job.rounds && !lacks_proof(&answer, job, n) {
            break;
        }
        if begin.elapsed() > Duration::from_secs(job.seconds) {
            break;
        }
        let seed = job.seed.wrapping_add(u64::from(n));
        if n % 10 == 0 {
            eprintln!("  {}: round {n}", job.fault.as_str());
        }
        answer.rounds += 1;
        if let Err(why) = round(&fixture, seed, &mut answer.figures) {
            answer.failed = Some(format!("round {n} (--seed {seed} --rounds 1): {why:#}"));
            break;
        }
        let half = job.rounds.div_ceil(2);
        if !counts.is_empty() && (answer.rounds == half || answer.rounds == 2 * half) {
            counts.push(Count::now()?);
        }
    }
    if let Ok(counts) = <[Count; 3]>::try_from(counts) {
        let leaks = grown(&counts, SPARE);
        if !leaks.is_empty() {
            answer.failed.get_or_insert(format!("leaks: {leaks:?}"));
        }
    }
    answer.seconds = begin.elapsed().as_secs_f64();
    Ok(answer)
}

/// Returns true if the fault of `job` has not occurred in `rounds` rounds, and more rounds are
/// allowed.
fn lacks_proof(answer: &FaultAnswer, job: &FaultJob, rounds: u32) -> bool {
    let missing = |name| !answer.figures.has(name);
    rounds < job.proving && job.fault.proof().is_some_and(missing)
}
