// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `conform`: the on-demand protocol, scenario by scenario, against ondine and against the C code of
//! Linux 6.12, which is the oracle.
//!
//! What a scenario expects is one text for both; where ondine is wanted to differ, a row of
//! `vmtest/conform/differences.toml` says how and why.

mod images;
mod matcher;
pub(crate) mod op;
mod scenario;
mod side;
pub(crate) mod step;
mod table;
mod words;

use anyhow::{ensure, Result};
use serde::Serialize;

use crate::cli::{DOES_NOT_HOLD, HOLDS};
use crate::setup::{KernelName, Setup};
use scenario::Scenario;
use side::{Outcome, Side};

/// What `conform` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConformArgs {
    /// Only the scenarios whose name contains this
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Print what happened in each step
    #[arg(long)]
    pub transcripts: bool,

    /// Play ondine's part with ondine in the place of the kernel's own erofs, on a device of another name
    #[arg(long)]
    pub as_erofs: bool,
}

/// A scenario's outcome on each side.
#[derive(Debug, Serialize)]
struct Row {
    scenario: String,
    covers: String,
    /// Why ondine differs, where it is wanted to.
    differences: Vec<String>,
    oracle: Option<Outcome>,
    ondine: Option<Outcome>,
}

impl Row {
    /// Of the sides that it was played on.
    fn outcomes(&self) -> impl Iterator<Item = (Side, &Outcome)> {
        let oracle = self.oracle.iter().map(|outcome| (Side::Oracle, outcome));
        oracle.chain(self.ondine.iter().map(|outcome| (Side::Ondine, outcome)))
    }
}

/// Plays the scenarios on the oracle and on ondine, or on the one whose kernel was asked for; prints
/// the table. The exit code.
///
/// # Errors
/// When it could not be tried.
pub fn main(args: &ConformArgs, setup: &Setup) -> Result<i32> {
    let ours = if args.as_erofs {
        Side::InPlaceOfErofs
    } else {
        Side::Ondine
    };
    let sides: &[Side] = match setup.options().kernel {
        Some(KernelName::Oracle) => &[Side::Oracle],
        Some(_) => &[ours],
        None => &[Side::Oracle, ours],
    };
    let (scenarios, rows) = play(args, setup, sides)?;
    setup.report(&rows)?;
    print!("{}", table::text(&rows, &scenarios, args.transcripts));
    let holds = rows.iter().flat_map(Row::outcomes).all(|(_, o)| o.holds());
    Ok(if holds { HOLDS } else { DOES_NOT_HOLD })
}

/// Plays all scenarios on ondine, in the kernel of `setup`, for `check`: what was played, and why it
/// does not hold.
///
/// # Errors
/// When it could not be tried.
pub fn verdicts(setup: &Setup) -> Result<Vec<(String, Option<String>)>> {
    let (_, rows) = play(&ConformArgs::default(), setup, &[Side::Ondine])?;
    let verdict = |row: &Row, side: Side, outcome: &Outcome| {
        let name = format!("{} on {}", row.scenario, side.as_str());
        let why = || format!("see cargo vmtest conform --only {}", row.scenario);
        (name, (!outcome.holds()).then(why))
    };
    let of = |row: &Row| -> Vec<_> {
        let outcomes = row.outcomes();
        outcomes
            .map(|(side, outcome)| verdict(row, side, outcome))
            .collect()
    };
    let as_erofs = ConformArgs {
        only: Some("conversation".to_owned()),
        ..ConformArgs::default()
    };
    let (_, renamed) = play(&as_erofs, setup, &[Side::InPlaceOfErofs])?;
    let renamed = renamed.iter().flat_map(of).map(|(name, failed)| {
        let name = format!("{name}, in the place of erofs");
        (name, failed.map(|why| format!("{why} --as-erofs")))
    });
    Ok(rows.iter().flat_map(of).chain(renamed).collect())
}

fn play(args: &ConformArgs, setup: &Setup, sides: &[Side]) -> Result<(Vec<Scenario>, Vec<Row>)> {
    let mut scenarios = scenario::load(&setup.repo().join("vmtest/conform"))?;
    if let Some(only) = &args.only {
        scenarios.retain(|one| one.name.contains(only.as_str()));
        ensure!(!scenarios.is_empty(), "no scenario is named like {only:?}");
    }
    let played = |wanted: fn(&Side) -> bool| -> Result<Option<Vec<Outcome>>> {
        let side = sides.iter().copied().find(wanted);
        let play = |side| side::play(setup, side, &scenarios);
        side.map(play).transpose()
    };
    let oracle = played(|side| *side == Side::Oracle)?;
    let ondine = played(|side| *side != Side::Oracle)?;
    let nth =
        |all: &Option<Vec<Outcome>>, n: usize| all.as_ref().and_then(|all| all.get(n).cloned());
    let rows: Vec<Row> = scenarios
        .iter()
        .enumerate()
        .map(|(n, scenario)| Row {
            scenario: scenario.name.clone(),
            covers: scenario.covers.clone(),
            differences: scenario
                .differences
                .iter()
                .map(|d| d.reason.clone())
                .collect(),
            oracle: nth(&oracle, n),
            ondine: nth(&ondine, n),
        })
        .collect();
    Ok((scenarios, rows))
}
