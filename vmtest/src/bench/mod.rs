// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `bench`: what each driver costs, in instructions of a guest that has one processor
//! and a disk in memory. Same boot, same images, the least of several repeats.

mod table;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};
use xshell::{cmd, Shell};

use crate::compare::look::Desk;
use crate::guest::bench::{BenchJob, Measure};
use crate::images::recipes::{Blobs, Recipe, RECIPES};
use crate::images::{build, drive, extras, minbase, Tree};
use crate::provision::{Key, Step};
use crate::Setup;
use targets::Target;

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Compare with an earlier result (a file that --json wrote)
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,

    /// Only the workloads whose name contains this
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Repeats of what is cached
    #[arg(long, default_value_t = 5)]
    pub warm: u32,

    /// Repeats of what is not
    #[arg(long, default_value_t = 3)]
    pub cold: u32,
}

/// The result, as `--json` writes and `--against` reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The form of this file.
    pub schema: u32,
    /// Everything that was measured.
    pub measures: Vec<Measure>,
    /// The goals, and whether they are met.
    #[serde(default)]
    pub targets: Vec<Target>,
}

const SCHEMA: u32 = 1;
const LIMIT: Duration = Duration::from_secs(3600);

/// The command `bench`: true when no goal that could be measured is missed.
///
/// # Errors
/// When it could not be tried.
pub fn run(setup: &Setup, args: &BenchArgs) -> Result<bool> {
    let before = args.against.as_deref().map(read).transpose()?;
    let drive = stage(setup)?;
    let desk = Desk::new(setup.cache())?;
    let job = BenchJob {
        drive: "/dev/vda".to_owned(),
        repeats: (args.warm, args.cold),
        only: args.only.clone(),
    };
    let boot = setup.boot()?.memory("6G").limit(LIMIT);
    let boot = boot.count_instructions().drive(&drive, true);
    let (answer, run): (Option<Vec<Measure>>, _) = desk.ask(boot, "bench", &job)?;
    let Some(measures) = answer else {
        run.require()?;
        bail!("the guest gave no answer");
    };
    let report = Report {
        schema: SCHEMA,
        targets: targets::judge(&measures),
        measures,
    };
    print!(
        "{}",
        table::render(&report.measures, before.as_ref().map(|b| &b.measures[..]))
    );
    for target in &report.targets {
        println!("{target}");
    }
    setup.report(&report)?;
    Ok(report.targets.iter().all(|target| target.met))
}

fn read(file: &Path) -> Result<Report> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result of bench", file.display()))?;
    if report.schema != SCHEMA {
        bail!("{} is of another version of this program", file.display());
    }
    Ok(report)
}

/// The drive for the guest: the root tree as it is (`native`), as an image of 64 KiB chunks with a
/// blob (`tree`), and one large file likewise (`big`).
fn stage(setup: &Setup) -> Result<PathBuf> {
    let cache = setup.cache();
    let mkfs = setup.erofs_utils()?.mkfs;
    let root = minbase::tree(cache)?;
    let chunks = RECIPES
        .iter()
        .find(|r| r.name == "chunk-64k" && r.blobs == Blobs::One)
        .context("no recipe for chunks")?;
    let tree = build::image(cache, &mkfs, &Tree::open(&root)?, chunks)?;
    let large = cache.step("large-file", &Key::new().add("large 1"), |draft| {
        fs::create_dir(draft.join("tree"))?;
        Ok(fs::write(
            draft.join("tree/big"),
            extras::pattern(99, 256 << 20),
        )?)
    })?;
    let big = Recipe {
        name: "big",
        flags: &["--chunksize=1048576"],
        ..*chunks
    };
    let big = build::image(cache, &mkfs, &Tree::open(&large.join("tree"))?, &big)?;
    let files = [
        ("tree.erofs", &tree.primary),
        ("tree.blob", &tree.devices[0]),
        ("big.erofs", &big.primary),
        ("big.blob", &big.devices[0]),
    ];
    let mut key = Key::new().add("bench 1");
    for (name, file) in files {
        key = key.add(name).add(file.as_os_str().as_encoded_bytes());
    }
    let entry = cache.step("bench", &key, |draft| {
        let staged = draft.join("staged");
        fs::create_dir(&staged)?;
        for (name, file) in files {
            fs::copy(file, staged.join(name))?;
        }
        let step = Step::begin(cache, "bench", "copying the root tree")?;
        let (shell, native) = (Shell::new()?, staged.join("native"));
        step.run(cmd!(shell, "cp --archive {root} {native}"))?;
        drop(step);
        drive::format(cache, &draft.join("drive"), Some(&staged), 1 << 30)?;
        Ok(fs::remove_dir_all(&staged)?)
    })?;
    Ok(entry.join("drive"))
}
