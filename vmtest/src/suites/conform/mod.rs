// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `conform`: the on-demand protocol, scenario by scenario, against ondine and against the C code of
//! Linux 6.12, which is the oracle.
//!
//! Both sides share the expected results; intended differences of ondine are rows of
//! `vmtest/conform/differences.toml`, with the reason.

mod images;
mod kernel_under_test;
mod matcher;
mod report;
mod scenario;

use anyhow::{ensure, Result};
use serde::Serialize;
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;

use crate::exit::{DOES_NOT_HOLD, HOLDS};
use kernel_under_test::{Outcome, Side};
use scenario::Scenario;

/// Arguments of `conform`.
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
/// When the guest could not run the job.
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
    print!("{}", report::text(&rows, &scenarios, args.transcripts));
    let holds = rows.iter().flat_map(Row::outcomes).all(|(_, o)| o.holds());
    Ok(if holds { HOLDS } else { DOES_NOT_HOLD })
}

/// Plays all scenarios on ondine, in the kernel of `setup`, for `check`: what was played, and why it
/// does not hold.
///
/// # Errors
/// When the guest could not run the job.
pub fn verdicts(setup: &Setup) -> Result<Vec<(String, Option<String>)>> {
    let (scenarios, rows) = play(&ConformArgs::default(), setup, &[Side::Ondine])?;
    let as_erofs = ConformArgs {
        only: Some("conversation".to_owned()),
        ..ConformArgs::default()
    };
    let (conversations, renamed) = play(&as_erofs, setup, &[Side::InPlaceOfErofs])?;
    let of = |row: &Row, scenario: &Scenario| -> Vec<(String, Option<String>)> {
        let verdict = |(side, outcome): (Side, &Outcome)| {
            let name = format!("{} on {}", row.scenario, side.as_str());
            let why = || report::account(side, outcome, scenario).trim().to_owned();
            (name, (!outcome.holds()).then(why))
        };
        row.outcomes().map(verdict).collect()
    };
    let verdicts = rows.iter().zip(&scenarios);
    let verdicts = verdicts.chain(renamed.iter().zip(&conversations));
    Ok(verdicts
        .flat_map(|(row, scenario)| of(row, scenario))
        .collect())
}

fn play(args: &ConformArgs, setup: &Setup, sides: &[Side]) -> Result<(Vec<Scenario>, Vec<Row>)> {
    let mut scenarios = scenario::load(&setup.repo().join("vmtest/conform"))?;
    if let Some(only) = &args.only {
        scenarios.retain(|one| one.name.contains(only.as_str()));
        ensure!(!scenarios.is_empty(), "no scenario is named like {only:?}");
    }
    let played = |wanted: fn(&Side) -> bool| -> Result<Option<Vec<Outcome>>> {
        let side = sides.iter().copied().find(wanted);
        let play = |side| kernel_under_test::play(setup, side, &scenarios);
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
