// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `bench`: the cost of every driver on the same image files in one boot, and, in a second boot,
//! the cost of on-demand loading with the fscache of Linux 6.12.
//!
//! The guest has one processor and QEMU counts its instructions, so the figures of two machines
//! agree, however busy they are. The disk is in memory; of several repeats the least counts.

mod compare;
mod disk;
mod html;
mod on_demand_table;
mod table;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};
use vmtest_lab::provision::daemon;
use vmtest_lab::vm::Boot;
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;
use vmtest_wire::bench::{Figure, Findings, Job, Refused, Set};
use vmtest_wire::misses::Workloads;
use xshell::{cmd, Shell};

use super::{flood, misses};
use crate::guest_call::GuestSession;
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

    /// Only the workloads whose name contains this; `miss` for what misses cost on demand, `flood` for
    /// what a flood of requests costs others
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
    /// Cost of cache misses; `None` with `--only`.
    #[serde(default)]
    pub misses: Option<misses::Misses>,
}

const SCHEMA: u32 = 1;
/// The name of what [`misses`] measures.
const MISS: &str = "miss";
/// The name of what [`flood`] measures.
const FLOOD: &str = "flood";
/// Several times what emulation on a busy machine takes.
const LIMIT: Duration = Duration::from_secs(5400);

/// The command `bench`: false when something got worse, what misses cost does not add up, or with
/// `--gate` a target is missed.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    if args.only.as_deref() == Some(MISS) {
        return only_misses(setup, args);
    }
    if args.only.as_deref() == Some(FLOOD) {
        return only_flood(setup, args);
    }
    let before = args.against.as_deref().map(read).transpose()?;
    let mkfs = setup.erofs_utils()?.mkfs;
    let drive = disk::drive(setup.cache(), &mkfs)?;
    let daemon = daemon::build(setup.workspace())?;
    let job = |sets: &[Set]| Job {
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
            None => Some(misses::measure(setup, Workloads::All)?),
            Some(_) => None,
        },
    };
    println!("Linux {}, ondine {}", report.kernel, report.commit);
    print!("{}", table::render(&report));
    if let Some(misses) = &report.misses {
        print!("{}", misses::render(misses));
    }
    print!("{}", on_demand_table::render(&report));
    for target in &report.targets {
        println!("{target}");
    }
    let mut misses = report.misses.iter();
    let mut holds = misses.all(|misses| misses.hold(args.gate));
    if let Some(before) = &before {
        let changes = compare::compare(before, &report);
        print!("{}", compare::render(before, &changes));
        holds &= !changes.iter().any(compare::Change::is_worse);
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

/// Measures only the cost of cache misses.
fn only_misses(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    not_compared(args, MISS)?;
    let misses = misses::measure(setup, Workloads::All)?;
    print!("{}", misses::render(&misses));
    setup.report(&misses)?;
    Ok(misses.hold(args.gate))
}

/// Floods a mount, and measures what others notice.
fn only_flood(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    not_compared(args, FLOOD)?;
    let rows = flood::measure(setup)?;
    print!("{}", misses::render_rows(&rows));
    setup.report(&rows)?;
    Ok(!args.gate || rows.iter().all(misses::Row::met))
}

fn not_compared(args: &BenchArgs, name: &str) -> Result<()> {
    if args.against.is_some() || args.html.is_some() {
        bail!("--only {name} gives counts, of which --against and --html know nothing");
    }
    Ok(())
}

/// Boots and has `job` done.
fn measure(setup: &Setup, boot: Boot, drive: &Path, job: &Job) -> Result<Findings> {
    let boot = boot.memory("5G").limit(LIMIT).drive(drive, true);
    eprintln!("measuring, for some minutes");
    let session = GuestSession::new(setup.cache())?;
    session.call(boot.count_instructions(), job)
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

/// Returns the measured commit as `git describe` names it, or `unknown` without git.
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

#[cfg(test)]
mod tests {
    use vmtest_wire::bench::{Figure, MountUnderTest, MountedData, State, Workload};

    /// A figure of one repeat.
    pub(super) fn figure(work: Workload, state: State, place: MountUnderTest, n: u64) -> Figure {
        Figure {
            work,
            form: MountedData::Tree,
            state,
            place,
            instructions: n,
            reads: n / 10,
            read_bytes: 0,
            cached_bytes: n * 3,
            repeats: vec![n],
        }
    }
}
