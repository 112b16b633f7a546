// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `bench`: what every driver costs, on the same image files in one boot; and in a second
//! one, on Linux 6.12, what on-demand loading cost when the kernel had it.
//!
//! The guest has one processor and QEMU counts its instructions, so the figures of two machines
//! agree, however busy they are. The disk is in memory; of several repeats the least counts.

mod against;
pub mod figure;
pub mod guest;
mod html;
mod on_demand;
mod stage;
mod table;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};
use xshell::{cmd, Shell};

use crate::compare::look::Desk;
use crate::on_demand::{guest::miss::Works, miss};
use crate::provision::daemon;
use crate::setup::KernelName;
use crate::vm::Boot;
use crate::Setup;
use figure::{Figure, Findings, Refused};
use guest::Set;
use targets::Target;

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Compare with an earlier result (a file that --json wrote): more than 2 % worse fails
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,

    /// Fail when a target is missed or was not measured, too; without this it is only printed
    #[arg(long)]
    pub gate: bool,

    /// The most repeats of each workload (fewer when the best two agree); the least counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,

    /// Only the table of on-demand loading
    #[arg(long)]
    pub on_demand: bool,

    /// Only the workloads whose name contains this; `miss` for what misses cost on demand
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Write a report for a browser to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// The result, as `--json` writes and `--against` reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The form of this file.
    pub schema: u32,
    /// The release of the kernel.
    pub kernel: String,
    /// The release of the kernel that C fscache was measured on.
    #[serde(default)]
    pub oracle: String,
    /// The commit that was measured, `-dirty` when there was more than it.
    pub commit: String,
    /// Everything that was measured.
    pub figures: Vec<Figure>,
    /// Mounts that the kernel refused.
    pub refused: Vec<Refused>,
    /// The goals that were due, and whether they are met.
    pub targets: Vec<Target>,
    /// What misses cost; none with `--only`.
    #[serde(default)]
    pub misses: Option<miss::Misses>,
}

const SCHEMA: u32 = 1;
/// The name of what [`miss`] measures.
const MISS: &str = "miss";
/// Several times what emulation on a busy machine takes.
const LIMIT: Duration = Duration::from_secs(5400);

/// The command `bench`: false when something got worse, what misses cost does not add up, or with
/// `--gate` a target is missed.
///
/// # Errors
/// When it could not be tried.
pub fn run(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    if args.only.as_deref() == Some(MISS) {
        return only_misses(setup, args);
    }
    let before = args.against.as_deref().map(read).transpose()?;
    let mkfs = setup.erofs_utils()?.mkfs;
    let drive = stage::drive(setup.cache(), &mkfs)?;
    let daemon = daemon::build(setup)?;
    let job = |sets: &[Set]| guest::Job {
        drive: "/dev/vda".to_owned(),
        repeats: args.repeats,
        only: args.only.clone(),
        sets: sets.to_vec(),
        daemon: daemon.clone(),
    };
    let here = if args.on_demand {
        job(&[Set::OnDemand])
    } else {
        job(&[Set::Files, Set::OnDemand])
    };
    let mut findings = measure(setup, setup.boot()?, &drive, &here)?;
    let oracle = setup.with_kernel(KernelName::Oracle)?;
    let boot = oracle.boot_without_module()?;
    let past = measure(setup, boot, &drive, &job(&[Set::Fscache]))?;
    findings.figures.extend(past.figures);
    findings.refused.extend(past.refused);
    if findings.figures.is_empty() {
        bail!(
            "no workload is named like {:?}",
            args.only.as_deref().unwrap_or_default()
        );
    }
    let due = targets::Due {
        on_demand: args.on_demand,
        only: args.only.as_deref(),
    };
    let report = Report {
        schema: SCHEMA,
        kernel: findings.kernel,
        oracle: past.kernel,
        commit: commit(setup.repo())?,
        targets: targets::judge(&findings.figures, due),
        figures: findings.figures,
        refused: findings.refused,
        misses: match args.only {
            None => Some(miss::measure(setup, Works::All)?),
            Some(_) => None,
        },
    };
    println!("Linux {}, ondine {}", report.kernel, report.commit);
    print!("{}", table::render(&report));
    if let Some(misses) = &report.misses {
        print!("{}", miss::render(misses));
    }
    print!("{}", on_demand::render(&report));
    for target in &report.targets {
        println!("{target}");
    }
    let mut misses = report.misses.iter();
    let mut holds = misses.all(|misses| misses.hold(args.gate));
    if let Some(before) = &before {
        let changes = against::compare(before, &report);
        print!("{}", against::render(before, &changes));
        holds &= !changes.iter().any(against::Change::is_worse);
    }
    if args.gate {
        holds &= report.targets.iter().all(|target| target.met);
    }
    setup.report(&report)?;
    if let Some(file) = &args.html {
        fs::write(file, html::render(&report))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(holds)
}

/// What misses cost, and nothing else.
fn only_misses(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    if args.against.is_some() || args.html.is_some() {
        bail!("--only {MISS} gives counts, of which --against and --html know nothing");
    }
    let misses = miss::measure(setup, Works::All)?;
    print!("{}", miss::render(&misses));
    setup.report(&misses)?;
    Ok(misses.hold(args.gate))
}

/// Boots and has `job` done.
fn measure(setup: &Setup, boot: Boot, drive: &Path, job: &guest::Job) -> Result<Findings> {
    let boot = boot.memory("5G").limit(LIMIT).drive(drive, true);
    eprintln!("measuring, for some minutes");
    let desk = Desk::new(setup.cache())?;
    let (answer, run) = desk.ask(boot.count_instructions(), "bench", job)?;
    if answer.is_none() {
        run.require()?;
    }
    answer.context("the guest gave no answer")
}

fn read(file: &Path) -> Result<Report> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let schema = |value: &serde_json::Value| value.get("schema").and_then(|s| s.as_u64());
    let value: serde_json::Value = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result of bench", file.display()))?;
    if schema(&value) != Some(SCHEMA.into()) {
        bail!("{} is not of this program's form {SCHEMA}", file.display());
    }
    serde_json::from_value(value)
        .with_context(|| format!("{} is no result of bench", file.display()))
}

/// What was measured, in git's words; a tree without git has no name.
fn commit(repo: &Path) -> Result<String> {
    let shell = Shell::new()?;
    shell.change_dir(repo);
    let words = cmd!(
        shell,
        "git describe --always --dirty --abbrev=12 --exclude=*"
    );
    Ok(words
        .quiet()
        .ignore_stderr()
        .read()
        .unwrap_or_else(|_| "unknown".to_owned()))
}
