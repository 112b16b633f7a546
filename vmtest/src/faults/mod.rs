// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `faults`: what happens to readers of images on demand when something else goes wrong.

pub mod density;
pub(crate) mod guest;
mod power;
mod sample;

use std::time::Duration;

use anyhow::{bail, Result};
use serde::Serialize;

use crate::compare::look::Desk;
use crate::Setup;
use guest::{FaultAnswer, FaultJob};

/// What `faults` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultArgs {
    /// How often each fault happens
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub rounds: u32,

    /// Decides all that is random; round N has this and N [default: random, printed]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Only the faults whose name contains this (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,

    /// No more rounds of a fault are begun after so many seconds of the guest's time
    #[arg(long, value_name = "COUNT", default_value_t = 3600)]
    pub seconds: u64,
}

/// A fault that happens inside a guest.
struct Fault {
    name: &'static str,
    /// What holds when no round fails.
    holds: &'static str,
}

/// All of them.
const FAULTS: &[Fault] = &[
    Fault {
        name: "kill",
        holds: "a daemon's SIGKILL spoils no read, and loses nothing that was fetched",
    },
    Fault {
        name: "unmount",
        holds: "unmounting and unloading while requests wait refuses, ends or outlives them",
    },
    Fault {
        name: "signal",
        holds: "SIGKILL, and no signal that is handled, ends a wait in read(2) or mount(2)",
    },
    Fault {
        name: "full",
        holds: "a full cache gives EIO, and the bytes once there is room",
    },
    Fault {
        name: "bad-blocks",
        holds: "a failing disk gives EIO, and the bytes once it is well",
    },
    Fault {
        name: "rival",
        holds: "for comparison: the kill on mainline's fanotify, which fails open",
    },
];

/// What came of one fault.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The fault.
    pub name: String,
    /// What holds, in words.
    pub holds: String,
    /// The guests' kernel.
    pub kernel: String,
    /// Rounds that were tried.
    pub rounds: u32,
    /// Seconds of the guest's time.
    pub seconds: f64,
    /// The seed of the first round.
    pub seed: u64,
    /// What was counted over all rounds.
    pub figures: Vec<(String, u64)>,
    /// What does not hold.
    pub failed: Option<String>,
}

/// `cargo vmtest faults`: whether all held.
///
/// # Errors
/// When it could not be tried.
pub fn main(setup: &Setup, args: &FaultArgs) -> Result<bool> {
    let outcomes = run(setup, args)?;
    for outcome in &outcomes {
        println!("{}", outcome.line());
        for (name, count) in &outcome.figures {
            println!("        {count:>12} {name}");
        }
    }
    setup.report(&outcomes)?;
    Ok(outcomes.iter().all(|outcome| outcome.failed.is_none()))
}

/// Has each fault happen.
///
/// # Errors
/// When it could not be tried.
pub fn run(setup: &Setup, args: &FaultArgs) -> Result<Vec<Outcome>> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    eprintln!("seed {seed}");
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.contains(only));
    let chosen: Vec<&Fault> = FAULTS.iter().filter(|fault| wanted(fault.name)).collect();
    let power = wanted("power");
    if chosen.is_empty() && !power {
        bail!("no fault is called {:?}", args.only);
    }
    let mut outcomes = Vec::new();
    for fault in chosen {
        outcomes.push(in_guest(setup, args, seed, fault)?);
    }
    if power {
        outcomes.push(power::run(setup, args, seed)?);
    }
    Ok(outcomes)
}

/// How often a guest is booted that does not come up.
const BOOTS: u32 = 5;

/// What `boot` gives; on a busy host a guest's check of its timer fails now and then, and an interrupt
/// comes too early for KASAN.
fn patiently<T>(mut boot: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..BOOTS {
        match boot() {
            Err(error) => eprintln!("{error:#}\nonce more"),
            done => return done,
        }
    }
    boot()
}

fn in_guest(setup: &Setup, args: &FaultArgs, seed: u64, fault: &Fault) -> Result<Outcome> {
    let image = sample::image(setup)?;
    let (images, names) = sample::parts(&image);
    let job = FaultJob {
        name: fault.name.to_owned(),
        rounds: args.rounds,
        seconds: args.seconds,
        seed,
        images,
        names,
        module: Some(setup.module()?.canonicalize()?),
    };
    // The last round may begin just before the end, and hang for a while.
    let limit = Duration::from_secs(args.seconds + 600);
    let desk = Desk::new(setup.cache())?;
    let boot = setup.boot()?.limit(limit);
    let (answer, run) = patiently(|| desk.ask(boot.clone(), "faults", &job))?;
    let answer: FaultAnswer = match answer {
        Some(answer) => answer,
        None if run.exit_code.is_some() || !run.problems.is_empty() => FaultAnswer {
            failed: Some(run.complaint()),
            ..FaultAnswer::default()
        },
        None => bail!("{}", run.complaint()),
    };
    Ok(Outcome {
        name: fault.name.to_owned(),
        holds: fault.holds.to_owned(),
        kernel: setup.options().kernel().as_str().to_owned(),
        rounds: answer.rounds,
        seconds: answer.seconds,
        seed,
        figures: answer.figures.0,
        failed: answer.failed,
    })
}

/// A few rounds of the faults with these names, as part of a check; none: of all.
pub fn few(rounds: u32, only: &[&str]) -> FaultArgs {
    FaultArgs {
        rounds,
        seed: None,
        only: only.iter().map(|name| (*name).to_owned()).collect(),
        seconds: 600,
    }
}

impl Outcome {
    /// What was tried, how often, and how to try it again.
    pub fn tried(&self) -> String {
        let (name, holds, kernel) = (&self.name, &self.holds, &self.kernel);
        let (rounds, seconds, seed) = (self.rounds, self.seconds, self.seed);
        format!("{name}: {holds} ({kernel}, {rounds} rounds, {seconds:.0} s, seed {seed})")
    }

    /// One line, and the reason below it.
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
