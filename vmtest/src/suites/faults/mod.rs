// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `faults`: reads images on demand while faults are injected.

pub(super) mod image;
mod power_cut;

use std::time::Duration;

use anyhow::{bail, Result};
use serde::Serialize;
use vmtest_lab::{vm::FILE_SYSTEM, workspace::KernelName, Setup};
use vmtest_wire::disk::DiskFs;
use vmtest_wire::faults::{Fault, FaultAnswer, FaultJob};

use crate::disk_args::DiskArgs;
use crate::exit::{COULD_NOT_RUN, DOES_NOT_HOLD, HOLDS};
use crate::guest_call::GuestSession;

/// Arguments of `faults`.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultArgs {
    /// Rounds of each fault
    ///
    /// With fewer than 20, more rounds are played, up to 20, until the fault has met a reader.
    #[arg(long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Random seed; round N uses the seed plus N [default: random, printed]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Only the faults whose name contains this
    #[arg(long, value_name = "NAME",
        help = format!("Only the faults whose name contains this (may be repeated): {}", names().join(", ")))]
    pub only: Vec<String>,

    /// No more rounds of a fault are begun after so many seconds of the guest's time; then it could not
    /// be tried
    #[arg(long, value_name = "COUNT", default_value_t = 3600)]
    pub seconds: u64,

    /// The disk with the caches.
    #[command(flatten)]
    pub disk: DiskArgs,
}

/// Describes the property that `fault` tests.
fn holds(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "a daemon's SIGKILL spoils no read, and loses nothing that was fetched",
        Fault::Misbehave => {
            "answers late, twice, wrong, short, never spoil no read, and no wait is without an end"
        }
        Fault::Unmount => {
            "unmounting and unloading while requests wait refuses, ends or outlives them"
        }
        Fault::Signal => {
            "SIGKILL, and no signal that is handled, ends a wait in read(2) or mount(2)"
        }
        Fault::Full => "a full cache gives EIO, and the bytes once there is room",
        Fault::BadBlocks => "a failing disk gives EIO, and the bytes once it is well",
        Fault::NoMemory => {
            "an allocation that fails is ENOMEM or EIO, spoils no later read, and leaks nothing"
        }
        Fault::BadRequests => {
            "a request that the disk refuses is EIO, spoils no later read, and leaks nothing"
        }
        Fault::Rival => "for comparison: the kill on mainline's fanotify, which fails open",
    }
}

/// Name of the power cut, which needs a guest for each round.
const POWER: &str = "power";

/// The names of all.
fn names() -> Vec<&'static str> {
    Fault::ALL
        .into_iter()
        .map(Fault::as_str)
        .chain([POWER])
        .collect()
}

/// Result of one fault.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The fault.
    pub name: String,
    /// Description of the tested property.
    pub holds: String,
    /// The guests' kernel.
    pub kernel: String,
    /// The file system of the cache's disk.
    pub disk: DiskFs,
    /// Rounds that were tried.
    pub rounds: u32,
    /// Seconds of the guest's time.
    pub seconds: f64,
    /// The seed of the first round.
    pub seed: u64,
    /// Counts over all rounds, by name.
    pub figures: Vec<(String, u64)>,
    /// Reason of the failure.
    pub failed: Option<String>,
    /// The reason of the failure is that fewer rounds ran than were asked for.
    pub incomplete: bool,
}

/// The name of a fault that cannot be injected here, and the reason.
pub type LeftOut = (String, String);

/// `cargo vmtest faults`: the exit code.
///
/// # Errors
/// When the guest could not run the job.
pub fn main(setup: &Setup, args: &FaultArgs) -> Result<i32> {
    let (outcomes, left_out) = run(setup, args)?;
    for (name, why) in &left_out {
        println!("not run {name}: {why}");
    }
    for outcome in &outcomes {
        println!("{}", outcome.line());
        for (name, count) in &outcome.figures {
            println!("        {count:>12} {name}");
        }
    }
    setup.report(&outcomes)?;
    Ok(code(&outcomes))
}

fn code(outcomes: &[Outcome]) -> i32 {
    let mut failed = outcomes.iter().filter(|outcome| outcome.failed.is_some());
    if outcomes.is_empty() {
        COULD_NOT_RUN
    } else if failed.clone().any(|outcome| !outcome.incomplete) {
        DOES_NOT_HOLD
    } else if failed.next().is_some() {
        COULD_NOT_RUN
    } else {
        HOLDS
    }
}

/// Has each fault happen. Returns the outcomes, and the faults that were left out with the reason.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, args: &FaultArgs) -> Result<(Vec<Outcome>, Vec<LeftOut>)> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    eprintln!("seed {seed}");
    let names = names();
    let known = |only: &&String| names.iter().any(|name| name.contains(only.as_str()));
    if let Some(unknown) = args.only.iter().find(|only| !known(only)) {
        bail!(
            "no fault is called {unknown:?}: there are {}",
            names.join(", ")
        );
    }
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.contains(only));
    let chosen = Fault::ALL
        .into_iter()
        .filter(|fault| wanted(fault.as_str()));
    let power = wanted(POWER);
    let (mut outcomes, mut left_out) = (Vec::new(), Vec::new());
    for fault in chosen {
        match obstacle(fault, setup, args.disk.disk) {
            Some(why) => left_out.push((fault.as_str().to_owned(), why.to_owned())),
            None => outcomes.push(in_guest(setup, args, seed, fault)?),
        }
    }
    if power {
        outcomes.push(power_cut::run(setup, args, seed)?);
    }
    Ok((outcomes, left_out))
}

/// The reason why `fault` cannot happen in this kernel, or on this file system.
fn obstacle(fault: Fault, setup: &Setup, disk: DiskFs) -> Option<&'static str> {
    if fault.is_injected() && setup.options().kernel() != KernelName::San {
        Some("the kernel fast injects no failures (--kernel san does)")
    } else if fault == Fault::BadBlocks && disk == DiskFs::Btrfs {
        Some("btrfs tells addresses of its own, not the blocks of the disk")
    } else {
        None
    }
}

fn in_guest(setup: &Setup, args: &FaultArgs, seed: u64, fault: Fault) -> Result<Outcome> {
    let image = image::image(setup)?;
    let (images, names) = image::parts(&image);
    let job = FaultJob {
        fault,
        rounds: args.rounds,
        proving: PROVING,
        seconds: args.seconds,
        seed,
        images,
        names,
        disk: args.disk.disk,
        module: Some(setup.module()?.canonicalize()?),
    };
    // The last round may begin just before the end, and hang for a while.
    let limit = Duration::from_secs(args.seconds + 600);
    let session = GuestSession::new(setup.cache())?;
    let mut boot = setup.boot()?.limit(limit);
    if fault == Fault::BadBlocks || fault.is_injected() {
        boot = boot.provokes(FILE_SYSTEM);
    }
    let answer = session
        .judged(boot, &job)?
        .unwrap_or_else(|why| FaultAnswer {
            failed: Some(why),
            ..FaultAnswer::default()
        });
    let outcome = Outcome {
        name: fault.as_str().to_owned(),
        holds: holds(fault).to_owned(),
        kernel: setup.options().kernel().as_str().to_owned(),
        disk: args.disk.disk,
        rounds: answer.rounds,
        seconds: answer.seconds,
        seed,
        figures: answer.figures.0,
        failed: answer.failed,
        incomplete: false,
    };
    Ok(outcome.judged(args, fault.proof()))
}

/// A few rounds of the faults with these names, as part of a check; none: of all. They are the same in
/// each check.
pub fn few(rounds: u32, only: &[Fault]) -> FaultArgs {
    FaultArgs {
        rounds,
        seed: Some(SEED),
        only: only.iter().map(|fault| fault.as_str().to_owned()).collect(),
        seconds: 600,
        disk: DiskArgs::default(),
    }
}

/// Many rounds of all faults, with other seeds each time.
pub fn many(rounds: u32, disk: DiskFs) -> FaultArgs {
    FaultArgs {
        rounds,
        seed: None,
        only: Vec::new(),
        seconds: 3600,
        disk: DiskArgs { disk },
    }
}

/// The seed of the rounds that `check` plays.
const SEED: u64 = 1;

/// So many rounds meet some reader. Fewer may not: more are played then, up to this many.
const PROVING: u32 = 20;

impl Outcome {
    /// An outcome that says so when there were fewer rounds than asked for, or the figure `proof` is 0.
    fn judged(mut self, args: &FaultArgs, proof: Option<&str>) -> Self {
        let is_zero = |name: &&str| {
            let mut figures = self.figures.iter();
            !figures.any(|(known, count)| known == name && *count > 0)
        };
        if self.failed.is_some() {
            return self;
        }
        let (rounds, wanted) = (self.rounds, args.rounds);
        if rounds < wanted {
            let seconds = args.seconds;
            self.incomplete = true;
            self.failed = Some(format!(
                "only {rounds} of {wanted} rounds were begun within {seconds} s \
                 (--seconds N allows more)"
            ));
        } else if let Some(name) = proof.filter(is_zero) {
            self.failed = Some(format!(
                "it proves nothing: in no round were there {name} (other seeds or more rounds may \
                 have some)"
            ));
        }
        self
    }

    /// Describes the test with its rounds, and the seed that repeats it.
    pub fn tried(&self) -> String {
        let (name, holds, kernel) = (&self.name, &self.holds, &self.kernel);
        let (rounds, seconds, seed) = (self.rounds, self.seconds, self.seed);
        let disk = self.disk.as_str();
        format!("{name}: {holds} ({kernel}, {disk}, {rounds} rounds, {seconds:.0} s, seed {seed})")
    }

    /// Renders a line, and the reason of a failure below it.
    fn line(&self) -> String {
        let tried = self.tried();
        match &self.failed {
            None => format!("ok      {tried}"),
            Some(why) => format!(
                "FAILED  {tried}\n        {}",
                why.replace('\n', "\n        ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rounds: u32, met: u64) -> Outcome {
        Outcome {
            name: "n".to_owned(),
            holds: "h".to_owned(),
            kernel: "k".to_owned(),
            disk: DiskFs::Ext4,
            rounds,
            seconds: 1.0,
            seed: 7,
            figures: vec![("errors".to_owned(), met)],
            failed: None,
            incomplete: false,
        }
        .judged(&few(PROVING, &[]), Some("errors"))
    }

    #[test]
    fn too_few_rounds_are_no_try() {
        let few = outcome(PROVING - 1, 1);
        assert!(few.incomplete);
        assert!(few.line().starts_with("FAILED"), "{}", few.line());
        let full = |met| outcome(PROVING, met);
        assert_eq!(code(&[full(1), few.clone()]), COULD_NOT_RUN);
        assert_eq!(code(&[few, full(0)]), DOES_NOT_HOLD);
    }

    #[test]
    fn a_fault_that_met_nobody_proves_nothing() {
        assert_eq!(code(&[outcome(PROVING, 1)]), HOLDS);
        let few = few(3, &[]);
        assert_eq!(few.seed, Some(SEED));
        let nobody = outcome(PROVING, 0);
        assert!(!nobody.incomplete);
        assert!(nobody.line().contains("in no round were there errors"));
        assert_eq!(code(&[nobody]), DOES_NOT_HOLD);
    }
}
