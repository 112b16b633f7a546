// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is checked inside virtual machines.

use std::path::Path;

use anyhow::{ensure, Result};

use super::{CheckArgs, Item};
use crate::compare::{self, behaviours as behave, table, verdict::Verdict};
use crate::conform;
use crate::faults::{self, density::DensityArgs};
use crate::guest::behave::Checked;
use crate::images::minbase;
use crate::on_demand::{self, guest::miss::Works, miss};
use crate::setup::KernelName;
use crate::vm::{Boot, HOST_VIEW};
use crate::Setup;

/// A guest with the module, unless only the C driver is asked for.
fn boot(setup: &Setup, args: &CheckArgs) -> Result<Boot> {
    if args.wants("ondine") {
        setup.boot()
    } else {
        setup.boot_without_module()
    }
}

/// With the kernel that tells most, when it is not that anyway; a developer's own is taken as it is.
fn sanitized(setup: &Setup) -> Result<Option<Setup>> {
    let own = setup.options();
    let is_san = own.kernel == Some(KernelName::San);
    if is_san || own.kernel_build.is_some() || own.kernel_src.is_some() {
        return Ok(None);
    }
    setup.with_kernel(KernelName::San).map(Some)
}

/// What a run reports must be what happened, or nothing else here means anything.
pub(super) fn truth(setup: &Setup) -> Result<Vec<Item>> {
    let boot = setup.boot_without_module()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("written-by-a-guest");
    let script = format!(
        "echo out; echo err >&2; touch '{HOST_VIEW}{}' 2>/dev/null && exit 1; touch /tmp/x $SCRATCH/y && exit 7",
        here.display()
    );
    let run = boot.run(["sh", "-c", &script])?;
    let told = || -> Result<()> {
        let code = run.exit_code;
        ensure!(code == Some(7), "the exit code was 7, reported {code:?}");
        let (out, err) = (&run.stdout, &run.stderr);
        ensure!(
            out == "out\n",
            "standard output was `out`, reported {out:?}"
        );
        ensure!(err == "err\n", "standard error was `err`, reported {err:?}");
        ensure!(
            run.problems.is_empty(),
            "an idle guest complained:\n{}",
            run.complaint()
        );
        ensure!(!here.exists(), "the guest wrote to the host");
        Ok(())
    };
    let crash = boot.run(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 9"])?;
    let unnoticed = crash.passed() || crash.problems.is_empty();
    Ok(vec![
        Item::new(
            "a guest reports what happened",
            told().err().map(|e| format!("{e:#}")),
        ),
        Item::new(
            "a guest's panic is noticed",
            unnoticed.then(|| "the run counts as passed".to_owned()),
        ),
    ])
}

/// The module alone, loaded and unloaded fifty times; and under names that cannot be.
pub(super) fn reload(setup: &Setup) -> Result<Vec<Item>> {
    let module = setup.module()?.display().to_string();
    let tried = |what: &str, script: &str| -> Result<Item> {
        let run = setup.boot()?.run(["sh", "-c", script])?;
        Ok(Item::new(what, (!run.passed()).then(|| run.complaint())))
    };
    let fifty = format!(
        "set -e; for i in $(seq 50); do rmmod ondine; insmod '{module}'; done; rmmod ondine; ! grep ondine /proc/filesystems"
    );
    let long = "n".repeat(33);
    // ext4 is taken: all else has to go again then.
    let names = format!(
        "rmmod ondine; for name in a.b .ondine a/b '' {long} ext4; do insmod '{module}' fstype=$name && exit 1; test -e /dev/cachefiles && exit 2; done; insmod '{module}' fstype=a-b_9 && grep a-b_9 /proc/filesystems"
    );
    Ok(vec![
        tried("the module comes and goes fifty times", &fifty)?,
        tried("file system types that cannot be are refused", &names)?,
    ])
}

fn judged(what: &str, verdicts: &[Verdict]) -> Vec<Item> {
    let item = |v: &Verdict| {
        let name = format!(
            "{what}: {} ({} accounts of {} paths equal the model's)",
            v.image,
            v.observers.len(),
            v.paths
        );
        Item::new(name, (!v.holds()).then(|| table::differences(v, 3)))
    };
    verdicts.iter().map(item).collect()
}

/// The matrix of `run`, each image an item.
pub(super) fn matrix(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let specs = compare::matrix(setup, &minbase::tree(setup.cache())?, None)?;
    let verdicts = compare::verdicts(setup, &specs, args.driver.as_deref())?;
    Ok(judged("image", &verdicts))
}

/// The gallery of the model's writer, each image an item.
pub(super) fn gallery(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let (verdicts, left_out) = compare::gallery(setup, args.driver.as_deref())?;
    eprintln!(
        "too large for a guest's drive, in-process only: {}",
        left_out.join(", ")
    );
    Ok(judged("gallery", &verdicts))
}

/// Images that are served on demand here: data inside and in a blob, and one that is refused. A tree
/// of small files is a READ for each of them: `run --on-demand` has the whole matrix.
const SERVED: [&str; 3] = ["block-map", "48bit-chunk", "block-512"];

/// Images on demand, each through every cache, and the counters.
pub(super) fn on_demand(setup: &Setup, _: &CheckArgs) -> Result<Vec<Item>> {
    let report = on_demand::look(setup, &on_demand::rows(setup, &SERVED)?)?;
    eprint!("{}", on_demand::render(&report));
    let mut items = Vec::new();
    for image in &report.images {
        let failed = format!(
            "{}{}",
            table::differences(&image.verdict, 3),
            image.wrong.join("\n")
        );
        items.extend(image.served.iter().map(|one| {
            Item::new(
                format!(
                    "on demand: {} through {} ({} of {} bytes fetched)",
                    image.verdict.image, one.sight.observer, one.daemon.bytes_fetched, one.bytes
                ),
                (!image.holds()).then(|| failed.clone()),
            )
        }));
    }
    items.extend(report.left_out.iter().map(|image| {
        Item::new(
            format!("on demand: {} is refused", image.image),
            (!image.holds()).then(|| format!("its mount gives {:?}", image.mount)),
        )
    }));
    items.push(Item::new("on demand: counters add up", report.counts));
    items.push(Item::new(
        "on demand: readers get the backend's errno",
        report.lost,
    ));
    Ok(items)
}

/// What misses cost, as far as counts tell it: each goal an item, and whether all who count agree.
pub(super) fn misses(setup: &Setup) -> Result<Vec<Item>> {
    let misses = miss::measure(setup, Works::Counted)?;
    let mut items = Vec::new();
    for row in &misses.rows {
        if let Some(goal) = row.goal {
            let failed = (!row.met()).then(|| "MISSED".to_owned());
            let name = format!("misses: {}: {:.3} {goal}", row.what, row.value);
            items.push(Item::new(name, failed));
        }
    }
    items.push(Item::new(
        "misses: counters, tracepoints, the daemon's numbers and the clock agree",
        (!misses.wrong.is_empty()).then(|| misses.wrong.join("\n")),
    ));
    Ok(items)
}

/// The behaviours, each with each observer an item.
pub(super) fn behaviours(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let behaved = |setup: &Setup, kernel: &str| -> Result<Vec<Item>> {
        let checked = behave::run(setup, boot(setup, args)?, |o| args.wants(&o.fs))?;
        let item = |c: Checked| Item::new(format!("{} [{}{kernel}]", c.name, c.on), c.failed);
        Ok(checked.into_iter().map(item).collect())
    };
    let mut items = behaved(setup, "")?;
    if let Some(san) = sanitized(setup)? {
        items.extend(behaved(&san, ", san")?);
    }
    Ok(items)
}

/// Rounds of each fault; `cargo vmtest faults` has more.
const FAULTS: u32 = 3;
/// The same where each round takes many times as long: of those faults that have tasks meet.
const FAULTS_SAN: u32 = 2;
const FAULTS_OF_SAN: [&str; 2] = ["kill", "unmount"];

/// What else can go wrong, a few times each, then fewer times in the kernel that tells most.
pub(super) fn faults(setup: &Setup) -> Result<Vec<Item>> {
    let mut outcomes = faults::run(setup, &faults::few(FAULTS, &[]))?;
    if let Some(san) = sanitized(setup)? {
        outcomes.extend(faults::run(&san, &faults::few(FAULTS_SAN, &FAULTS_OF_SAN))?);
    }
    let item = |o: faults::Outcome| Item {
        untried: o.untried,
        ..Item::new(o.tried(), o.failed)
    };
    Ok(outcomes.into_iter().map(item).collect())
}

/// Mounts that share twenty blobs, and some with twenty of their own; `cargo vmtest density` has more.
const DENSITY: DensityArgs = DensityArgs {
    mounts: 50,
    alone: 5,
};

/// Many mounts in one guest leave nothing.
pub(super) fn density(setup: &Setup) -> Result<Vec<Item>> {
    let (tried, failed) = faults::density::check(setup, &DENSITY)?;
    Ok(vec![Item::new(format!("density: {tried}"), failed)])
}

/// The scenarios of the on-demand protocol, on ondine; `conform` asks Linux 6.12 too.
pub(super) fn conform(setup: &Setup) -> Result<Vec<Item>> {
    let verdicts = conform::verdicts(setup)?;
    let item = |(name, failed)| Item::new(name, failed);
    Ok(verdicts.into_iter().map(item).collect())
}

/// What an unmodified nydusd serves, each image with each kernel an item.
pub(super) fn nydus(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let (rows, left_out) = compare::nydus::run(setup, |fs| args.wants(fs))?;
    let mut items: Vec<Item> = left_out
        .into_iter()
        .map(|(name, why)| Item::not_run(format!("RAFS image: {name}"), why))
        .collect();
    items.extend(
        rows.into_iter()
            .map(|(name, failed)| Item::new(name, failed)),
    );
    Ok(items)
}

/// Load, mount, use, unmount, unload, in the kernel that tells most.
pub(super) fn cycles(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let san = sanitized(setup)?;
    let failed = compare::cycles::run(san.as_ref().unwrap_or(setup), args.rounds)?.err();
    Ok(vec![Item::new(
        format!(
            "{} rounds of load, mount, use, unload leave nothing",
            args.rounds
        ),
        failed,
    )])
}

/// Damaged images: how many, and from which seed.
const DAMAGED: (u64, usize) = (7, 300);

/// Damaged images are seen as the model sees them, and nothing breaks.
pub(super) fn hostile(setup: &Setup, _: &CheckArgs) -> Result<Vec<Item>> {
    let (seed, count) = DAMAGED;
    let verdicts = compare::hostile::run(setup, seed, count)?;
    let refused = verdicts.iter().filter(|v| v.paths == 0).count();
    let mut items = vec![Item::new(
        format!(
            "{count} damaged images (seed {seed}) leave the kernel well; {refused} do not mount"
        ),
        None,
    )];
    items.extend(verdicts.iter().map(|v| {
        let failed = (!v.holds()).then(|| {
            format!(
                "{}    done to it: {}",
                table::differences(v, 3),
                v.notes.join("; ")
            )
        });
        Item::new(format!("damaged image: {}", v.image), failed)
    }));
    Ok(items)
}
