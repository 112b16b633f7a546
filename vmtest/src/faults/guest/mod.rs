// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The faults, made and survived inside a guest.

mod daemon;
mod density;
mod full;
mod ground;
mod kept;
mod kill;
mod misbehave;
mod mounted;
mod power;
mod readers;
mod rival;
mod signals;
mod watch;
mod ways;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use serde::{Deserialize, Serialize};

pub(crate) use daemon::serve;
pub(crate) use density::{run as density, Density, DensityJob};
pub(crate) use full::{BAD_BLOCKS, NO_SPACE};
use ground::Ground;
pub(crate) use kill::NO_DAEMON;
pub(crate) use misbehave::SPOILED;
pub(crate) use mounted::ABORTED;
pub(crate) use power::{fill, PowerJob};
pub(crate) use rival::{handle, ZEROS};

/// The order of `vmtest guest faults`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FaultJob {
    /// The fault.
    pub(crate) name: String,
    /// How often.
    pub(crate) rounds: u32,
    /// No more rounds are begun after so many seconds.
    pub(crate) seconds: u64,
    /// Round N has this and N as its seed.
    pub(crate) seed: u64,
    /// Where the image's files are.
    pub(crate) images: PathBuf,
    /// Their names: the bootstrap, then the blobs.
    pub(crate) names: Vec<String>,
    /// The module.
    pub(crate) module: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FaultAnswer {
    /// Rounds that were tried.
    pub(crate) rounds: u32,
    /// Guest time of all rounds.
    pub(crate) seconds: f64,
    /// What was counted.
    pub(crate) figures: Figures,
    /// What does not hold, and in the round of which seed.
    pub(crate) failed: Option<String>,
}

/// Numbers by their names, in the order in which they came up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures(pub(crate) Vec<(String, u64)>);

impl Figures {
    /// Counts `n` more of `name`.
    pub(crate) fn add(&mut self, name: &str, n: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += n,
            None => self.0.push((name.to_owned(), n)),
        }
    }

    /// Keeps the greatest `n` of `name`.
    pub(crate) fn most(&mut self, name: &str, n: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, most)) => *most = n.max(*most),
            None => self.0.push((name.to_owned(), n)),
        }
    }
}

/// Does the job.
///
/// # Errors
/// When it could not be tried.
pub(crate) fn run(job: &FaultJob) -> Result<FaultAnswer> {
    let round: fn(&Ground, u64, &mut Figures) -> Result<()> = match job.name.as_str() {
        "kill" => kill::round,
        "misbehave" => misbehave::round,
        "unmount" => mounted::round,
        "signal" => signals::round,
        "rival" => rival::round,
        "full" => full::no_space,
        "bad-blocks" => full::bad_blocks,
        name => bail!("no fault is called {name:?}"),
    };
    let ground = Ground::new(job)?;
    let mut answer = FaultAnswer::default();
    let begin = Instant::now();
    for n in 0..job.rounds {
        if begin.elapsed() > Duration::from_secs(job.seconds) {
            break;
        }
        let seed = job.seed.wrapping_add(u64::from(n));
        if n % 10 == 0 {
            eprintln!("  {}: round {n}", job.name);
        }
        answer.rounds += 1;
        if let Err(why) = round(&ground, seed, &mut answer.figures) {
            answer.failed = Some(format!("round {n} (--seed {seed} --rounds 1): {why:#}"));
            break;
        }
    }
    answer.seconds = begin.elapsed().as_secs_f64();
    Ok(answer)
}
