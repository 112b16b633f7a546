// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `faults`: what happens to readers of images on demand when something else goes wrong.

pub mod density;
pub(crate) mod guest;
mod power;
mod sample;

use std::time::Duration;

use anyhow::{bail, Result};
use serde::Serialize;

use crate::cli::{COULD_NOT_BE_TRIED, DOES_NOT_HOLD, HOLDS};
use crate::compare::look::Desk;
use crate::Setup;
use guest::{FaultAnswer, FaultJob, ABORTED, BAD_BLOCKS, NO_DAEMON, NO_SPACE, SPOILED, ZEROS};

/// What `faults` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultArgs {
    /// How often each fault happens
    #[arg(long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Decides all that is random; round N has this and N [default: random, printed]
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
}

/// A fault that happens inside a guest.
struct Fault {
    name: &'static str,
    /// What holds when no round fails.
    holds: &'static str,
    /// The figure that is not 0 unless the fault met nobody.
    proof: Option<&'static str>,
}

/// All of them.
const FAULTS: &[Fault] = &[
    Fault {
        name: "kill",
        holds: "a daemon's SIGKILL spoils no read, and loses nothing that was fetched",
        proof: Some(NO_DAEMON),
    },
    Fault {
        name: "misbehave",
        holds:
            "answers late, twice, wrong, short, never spoil no read, and no wait is without an end",
        proof: Some(SPOILED),
    },
    Fault {
        name: "unmount",
        holds: "unmounting and unloading while requests wait refuses, ends or outlives them",
        proof: Some(ABORTED),
    },
    Fault {
        name: "signal",
        holds: "SIGKILL, and no signal that is handled, ends a wait in read(2) or mount(2)",
        proof: None,
    },
    Fault {
        name: "full",
        holds: "a full cache gives EIO, and the bytes once there is room",
        proof: Some(NO_SPACE),
    },
    Fault {
        name: "bad-blocks",
        holds: "a failing disk gives EIO, and the bytes once it is well",
        proof: Some(BAD_BLOCKS),
    },
    Fault {
        name: "rival",
        holds: "for comparison: the kill on mainline's fanotify, which fails open",
        proof: Some(ZEROS),
    },
];

/// The one that needs a guest for each round.
const POWER: &str = "power";

/// The names of all.
fn names() -> Vec<&'static str> {
    FAULTS
        .iter()
        .map(|fault| fault.name)
        .chain([POWER])
        .collect()
}

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
    /// It does not hold because it could not be tried so often.
    pub untried: bool,
}

/// `cargo vmtest faults`: the exit code.
///
/// # Errors
/// When it could not be tried.
pub fn main(setup: &Setup, args: &FaultArgs) -> Result<i32> {
    let outcomes = run(setup, args)?;
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
    if failed.clone().any(|outcome| !outcome.untried) {
        DOES_NOT_HOLD
    } else if failed.next().is_some() {
        COULD_NOT_BE_TRIED
    } else {
        HOLDS
    }
}

/// Has each fault happen.
///
/// # Errors
/// When it could not be tried.
pub fn run(setup: &Setup, args: &FaultArgs) -> Result<Vec<Outcome>> {
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
    let chosen: Vec<&Fault> = FAULTS.iter().filter(|fault| wanted(fault.name)).collect();
    let power = wanted(POWER);
    let mut outcomes = Vec::new();
    for fault in chosen {
        outcomes.push(in_guest(setup, args, seed, fault)?);
    }
    if power {
        outcomes.push(power::run(setup, args, seed)?);
    }
    Ok(outcomes)
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
    let (answer, run) = desk.ask(setup.boot()?.limit(limit), "faults", &job)?;
    let answer: FaultAnswer = match answer {
        Some(answer) => answer,
        None if run.exit_code.is_some() || !run.problems.is_empty() => FaultAnswer {
            failed: Some(run.complaint()),
            ..FaultAnswer::default()
        },
        None => bail!("{}", run.complaint()),
    };
    let outcome = Outcome {
        name: fault.name.to_owned(),
        holds: fault.holds.to_owned(),
        kernel: setup.options().kernel().as_str().to_owned(),
        rounds: answer.rounds,
        seconds: answer.seconds,
        seed,
        figures: answer.figures.0,
        failed: answer.failed,
        untried: false,
    };
    Ok(outcome.judged(args, fault.proof))
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

/// So many rounds meet somebody; a few, as `check` plays them, may not.
const PROVING: u32 = 20;

impl Outcome {
    /// An outcome that says so when there were fewer rounds than asked for, or the figure `proof` is 0 after so many
    /// that it should not be.
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
            self.untried = true;
            self.failed = Some(format!(
                "could not be tried: {rounds} of {wanted} rounds were begun within {seconds} s \
                 (--seconds N allows more)"
            ));
        } else if let Some(name) = proof.filter(|name| rounds >= PROVING && is_zero(name)) {
            self.failed = Some(format!(
                "it proves nothing: in no round were there {name} (other seeds or more rounds may \
                 have some)"
            ));
        }
        self
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rounds: u32, met: u64) -> Outcome {
        Outcome {
            name: "n".to_owned(),
            holds: "h".to_owned(),
            kernel: "k".to_owned(),
            rounds,
            seconds: 1.0,
            seed: 7,
            figures: vec![("errors".to_owned(), met)],
            failed: None,
            untried: false,
        }
        .judged(&few(PROVING, &[]), Some("errors"))
    }

    #[test]
    fn too_few_rounds_are_no_try() {
        let few = outcome(PROVING - 1, 1);
        assert!(few.untried);
        assert!(few.line().starts_with("FAILED"), "{}", few.line());
        let full = |met| outcome(PROVING, met);
        assert_eq!(code(&[full(1), few.clone()]), COULD_NOT_BE_TRIED);
        assert_eq!(code(&[few, full(0)]), DOES_NOT_HOLD);
    }

    #[test]
    fn a_fault_that_met_nobody_proves_nothing() {
        assert_eq!(code(&[outcome(PROVING, 1)]), HOLDS);
        let nobody = outcome(PROVING, 0);
        assert!(!nobody.untried);
        assert!(nobody.line().contains("in no round were there errors"));
        assert_eq!(code(&[nobody]), DOES_NOT_HOLD);
    }
}
