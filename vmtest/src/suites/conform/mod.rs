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

use anyhow::{bail, ensure, Result};
use serde::Serialize;
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;
use vmtest_wire::disk::DiskFs;

use crate::disk_args::DiskArgs;
use crate::exit::{DOES_NOT_HOLD, HOLDS};
use kernel_under_test::{Outcome, Side};
use scenario::Scenario;

/// Arguments of `conform`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConformArgs {
    /// Only the scenarios whose name contains this (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,

    /// Print what happened in each step
    #[arg(long)]
    pub transcripts: bool,

    /// Play ondine's part with ondine in the place of the kernel's own erofs, on a device of another name
    #[arg(long)]
    pub as_erofs: bool,

    /// The disk with the caches; on others than ext4 only ondine plays.
    #[command(flatten)]
    pub disk: DiskArgs,
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
    let disk = args.disk.disk;
    let sides: &[Side] = match setup.options().kernel {
        Some(KernelName::Oracle) if disk != DiskFs::Ext4 => {
            bail!(
                "the kernel oracle has no {}: leave out --disk or --kernel",
                disk.as_str()
            )
        }
        Some(KernelName::Oracle) => &[Side::Oracle],
        None if disk == DiskFs::Ext4 => &[Side::Oracle, ours],
        None | Some(_) => &[ours],
    };
    let (scenarios, rows) = play(args, setup, sides)?;
    setup.report(&rows)?;
    print!("{}", report::text(&rows, &scenarios, args.transcripts));
    let holds = rows.iter().flat_map(Row::outcomes).all(|(_, o)| o.holds());
    Ok(if holds { HOLDS } else { DOES_NOT_HOLD })
}

/// Plays all scenarios on ondine, in the kernel of `setup` and with caches on `disk`, for `check`: what was
/// played, and why it does not hold.
///
/// # Errors
/// When the guest could not run the job.
pub fn verdicts(setup: &Setup, disk: DiskFs) -> Result<Vec<(String, Option<String>)>> {
    let mut verdicts = verdicts_of(setup, disk, &[], Side::Ondine)?;
    verdicts.extend(verdicts_of(
        setup,
        disk,
        &["conversation"],
        Side::InPlaceOfErofs,
    )?);
    Ok(verdicts)
}

/// Plays the scenarios whose name contains one of `only`, as [`verdicts`] does.
///
/// # Errors
/// When the guest could not run the job.
pub fn some_verdicts(
    setup: &Setup,
    disk: DiskFs,
    only: &[&str],
) -> Result<Vec<(String, Option<String>)>> {
    verdicts_of(setup, disk, only, Side::Ondine)
}

fn verdicts_of(
    setup: &Setup,
    disk: DiskFs,
    only: &[&str],
    side: Side,
) -> Result<Vec<(String, Option<String>)>> {
    let args = ConformArgs {
        only: only.iter().map(|&name| name.to_owned()).collect(),
        disk: DiskArgs { disk },
        ..ConformArgs::default()
    };
    let (scenarios, rows) = play(&args, setup, &[side])?;
    let of = |row: &Row, scenario: &Scenario| -> Vec<(String, Option<String>)> {
        let verdict = |(side, outcome): (Side, &Outcome)| {
            let name = format!("{} on {}", row.scenario, side.as_str());
            let why = || report::account(side, outcome, scenario).trim().to_owned();
            (name, (!outcome.holds()).then(why))
        };
        row.outcomes().map(verdict).collect()
    };
    let verdicts = rows.iter().zip(&scenarios);
    Ok(verdicts
        .flat_map(|(row, scenario)| of(row, scenario))
        .collect())
}

fn play(args: &ConformArgs, setup: &Setup, sides: &[Side]) -> Result<(Vec<Scenario>, Vec<Row>)> {
    let mut scenarios = scenario::load(&setup.repo().join("vmtest/conform"))?;
    for only in &args.only {
        ensure!(
            scenarios.iter().any(|one| one.name.contains(only.as_str())),
            "no scenario has a name that contains {only:?}: `ls {}` lists them",
            setup.repo().join("vmtest/conform").display()
        );
    }
    scenarios.retain(|one| {
        let mut only = args.only.iter();
        args.only.is_empty() || only.any(|only| one.name.contains(only.as_str()))
    });
    let played = |wanted: fn(&Side) -> bool| -> Result<Option<Vec<Outcome>>> {
        let side = sides.iter().copied().find(wanted);
        let play = |side| kernel_under_test::play(setup, side, args.disk.disk, &scenarios);
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
