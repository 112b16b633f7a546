// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Parts of `check` that run in virtual machines.

use anyhow::{ensure, Result};
use vmtest_lab::images::debian_root;
use vmtest_lab::vm::{Boot, Complaint};
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;
use vmtest_wire::disk::DiskFs;
use vmtest_wire::faults::Fault;
use vmtest_wire::misses::Workloads;
use vmtest_wire::paths::HOST_VIEW;
use vmtest_wire::vfs_checks::CheckResult;

use super::{CheckArgs, Item};
use crate::suites::compare::verdict::Verdict;
use crate::suites::compare::{self, report};
use crate::suites::density::{self, DensityArgs};
use crate::suites::faults::FaultArgs;
use crate::suites::{
    conform, corrupted, faults, flood, load_unload, misses, nydus, on_demand, vfs_checks,
};

/// Returns a guest with the module loaded, or without it if `--driver` excludes ondine.
fn boot(setup: &Setup, args: &CheckArgs) -> Result<Boot> {
    if args.wants("ondine") {
        setup.boot()
    } else {
        setup.boot_without_module()
    }
}

/// Returns a setup with the sanitizer kernel `san`; `None` if the setup uses `san` already, or a kernel that
/// `--kernel-build` or `--kernel-src` chose.
fn sanitized(setup: &Setup) -> Result<Option<Setup>> {
    let own = setup.options();
    let is_san = own.kernel == Some(KernelName::San);
    if is_san || own.kernel_build.is_some() || own.kernel_src.is_some() {
        return Ok(None);
    }
    setup.with_kernel(KernelName::San).map(Some)
}

/// Returns the item for `what` on the kernel `san`, skipped because `--kernel-build` or `--kernel-src` chose
/// another kernel.
fn not_sanitized(setup: &Setup, what: &str) -> Option<Item> {
    let own = setup.options();
    let chosen = own.kernel_build.is_some() || own.kernel_src.is_some();
    chosen.then(|| {
        let why = "--kernel-build and --kernel-src choose the only kernel";
        Item::not_run(format!("{what}, in the kernel san"), why.to_owned())
    })
}

/// Checks that a run reports the guest's exit code, output and panics: all other parts rely on it.
pub(super) fn truth(setup: &Setup) -> Result<Vec<Item>> {
    let boot = setup.boot_without_module()?;
    let here = setup.repo().join("written-by-a-guest");
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

/// Loads and unloads the module fifty times, and checks that invalid file system names are refused.
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
    // The name ext4 is taken: a failed load must undo all other registrations.
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
        Item::new(name, (!v.holds()).then(|| report::differences(v, 3)))
    };
    verdicts.iter().map(item).collect()
}

/// Runs the image matrix of the command `run`. Each image is an item.
pub(super) fn matrix(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let specs = compare::matrix(setup, &debian_root::tree(setup.cache())?, None)?;
    let verdicts = compare::verdicts(setup, &specs, args.driver.as_deref())?;
    Ok(judged("image", &verdicts))
}

/// Compares the gallery of the model's writer. Each image is an item.
pub(super) fn gallery(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let (verdicts, left_out) = compare::gallery(setup, args.driver.as_deref())?;
    let mut items = judged("gallery", &verdicts);
    items.extend(left_out.into_iter().map(|(what, why)| {
        let why = format!("{why}; `cargo test` reads it in-process");
        Item::not_run(format!("gallery: {what}"), why)
    }));
    Ok(items)
}

/// Images to serve on demand: data in the image, data in a blob, and an image that is refused. Every small file
/// costs a READ, so the whole matrix is left to `run --on-demand`.
const SERVED: [&str; 3] = ["block-map", "48bit-chunk", "block-512"];

/// Reads images on demand through an empty, a full and a half cache, and checks the counters.
pub(super) fn on_demand(setup: &Setup, _: &CheckArgs) -> Result<Vec<Item>> {
    let report = on_demand::look(setup, &on_demand::rows(setup, &SERVED)?)?;
    eprint!("{}", on_demand::render(&report));
    let mut items = Vec::new();
    for image in &report.images {
        let failed = format!(
            "{}{}",
            report::differences(&image.verdict, 3),
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
    items.push(Item::new(
        "on demand: bytes of two versions of a blob are not mixed",
        report.replaced,
    ));
    Ok(items)
}

/// Counts the cost of cache misses. Each goal is an item, and so is the agreement of all counters.
pub(super) fn misses(setup: &Setup) -> Result<Vec<Item>> {
    let misses = misses::measure(setup, Workloads::Counted)?;
    let mut items = held("misses", &misses.rows);
    items.push(Item::new(
        "misses: counters, tracepoints, the daemon's numbers and the clock agree",
        (!misses.wrong.is_empty()).then(|| misses.wrong.join("\n")),
    ));
    Ok(items)
}

/// Each figure with a goal as an item.
fn held(part: &str, rows: &[misses::Row]) -> Vec<Item> {
    let item = |row: &misses::Row| {
        let failed = (!row.met()).then(|| "MISSED".to_owned());
        let name = format!("{part}: {}: {:.3} {}", row.what, row.value, row.goal?);
        Some(Item::new(name, failed))
    };
    rows.iter().filter_map(item).collect()
}

/// Floods a mount with hints and killed readers. Each goal for what others notice is an item.
pub(super) fn flood(setup: &Setup) -> Result<Vec<Item>> {
    Ok(held("flood", &flood::measure(setup)?))
}

/// Runs the VFS checks, then again in the kernel `san`. Each check is an item for each observer.
pub(super) fn behaviours(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let behaved = |setup: &Setup, kernel: &str| -> Result<Vec<Item>> {
        let checked = vfs_checks::run(setup, boot(setup, args)?, DiskFs::Ext4, |o| {
            args.wants(&o.fs)
        })?;
        let item = |c: CheckResult| Item::new(format!("{} [{}{kernel}]", c.name, c.on), c.failed);
        Ok(checked.into_iter().map(item).collect())
    };
    let mut items = behaved(setup, "")?;
    if let Some(san) = sanitized(setup)? {
        items.extend(behaved(&san, ", san")?);
    }
    items.extend(not_sanitized(setup, "behaviours"));
    Ok(items)
}

/// Rounds of each fault; `cargo vmtest faults` has more.
const FAULTS: u32 = 3;
/// Rounds of each fault in the kernel `san`, where a round takes many times as long.
const FAULTS_SAN: u32 = 2;
/// Faults to inject in the kernel `san`: those in which tasks race, and those that it alone can inject.
const FAULTS_OF_SAN: [Fault; 4] = [
    Fault::Kill,
    Fault::Unmount,
    Fault::NoMemory,
    Fault::BadRequests,
];

/// Injects each fault for a few rounds, then those with races for fewer rounds in the kernel `san`.
pub(super) fn faults(setup: &Setup) -> Result<Vec<Item>> {
    let mut items = fault_items(setup, &faults::few(FAULTS, &[]))?;
    if let Some(san) = sanitized(setup)? {
        // What the kernel fast cannot inject.
        items.retain(|item| item.not_run.is_none());
        items.extend(fault_items(&san, &faults::few(FAULTS_SAN, &FAULTS_OF_SAN))?);
    }
    let names = FAULTS_OF_SAN.map(Fault::as_str);
    let what = format!("faults {}", names.join(", "));
    items.extend(not_sanitized(setup, &what));
    Ok(items)
}

/// Each fault of `args` as an item.
pub(super) fn fault_items(setup: &Setup, args: &FaultArgs) -> Result<Vec<Item>> {
    let (outcomes, left_out) = faults::run(setup, args)?;
    let item = |o: faults::Outcome| Item {
        incomplete: o.incomplete,
        ..Item::new(o.tried(), o.failed)
    };
    let mut items: Vec<Item> = outcomes.into_iter().map(item).collect();
    items.extend(
        left_out
            .into_iter()
            .map(|(name, why)| Item::not_run(name, why)),
    );
    Ok(items)
}

/// Rounds of each fault in `--nightly`.
const MANY_FAULTS: u32 = 200;

/// Injects each fault many times, and those that the kernel `san` alone can inject there.
pub(super) fn many_faults(setup: &Setup) -> Result<Vec<Item>> {
    let mut items = fault_items(setup, &faults::many(MANY_FAULTS, DiskFs::Ext4))?;
    if let Some(san) = sanitized(setup)? {
        items.retain(|item| item.not_run.is_none());
        let args = FaultArgs {
            only: FAULTS_OF_SAN.map(|fault| fault.as_str().to_owned()).into(),
            ..faults::many(MANY_FAULTS_SAN, DiskFs::Ext4)
        };
        items.extend(fault_items(&san, &args)?);
    }
    Ok(items)
}

/// Rounds of each fault in the kernel `san` in `--nightly`.
const MANY_FAULTS_SAN: u32 = 50;

/// Repeats in the kernel `san` the parts that `check` otherwise runs in `fast` alone.
pub(super) fn sanitized_parts(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let Some(san) = sanitized(setup)? else {
        return Ok(not_sanitized(setup, "conform, hostile, on-demand")
            .into_iter()
            .collect());
    };
    let mut items = conform(&san)?;
    items.extend(hostile(&san, args)?);
    items.extend(on_demand(&san, args)?);
    for item in &mut items {
        item.name += " [san]";
    }
    Ok(items)
}

/// Number of mounts that share twenty blobs and of mounts with their own; `cargo vmtest density` has more.
const DENSITY: DensityArgs = DensityArgs {
    mounts: 50,
    alone: 5,
};

/// Checks that many mounts in one guest leak nothing.
pub(super) fn density(setup: &Setup) -> Result<Vec<Item>> {
    let (tried, failed) = density::check(setup, &DENSITY)?;
    Ok(vec![Item::new(format!("density: {tried}"), failed)])
}

/// Plays the scenarios of the on-demand protocol on ondine; the command `conform` plays them on Linux 6.12 too.
pub(super) fn conform(setup: &Setup) -> Result<Vec<Item>> {
    let verdicts = conform::verdicts(setup, DiskFs::Ext4)?;
    let item = |(name, failed)| Item::new(name, failed);
    Ok(verdicts.into_iter().map(item).collect())
}

/// Mounts the images that an unmodified nydusd serves. Each image is an item for each kernel.
pub(super) fn nydus(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let (rows, left_out) = nydus::run(setup, |fs| args.wants(fs))?;
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

/// Loads, mounts, uses, unmounts and unloads in the kernel `san`, and checks for leaks.
pub(super) fn cycles(setup: &Setup, args: &CheckArgs) -> Result<Vec<Item>> {
    let san = sanitized(setup)?;
    let failed = load_unload::run(san.as_ref().unwrap_or(setup), args.rounds)?.err();
    let mut items = vec![Item::new(
        format!(
            "{} rounds of load, mount, use, unload leave nothing",
            args.rounds
        ),
        failed,
    )];
    items.extend(not_sanitized(setup, "cycles"));
    Ok(items)
}

/// Seed and number of the damaged images.
const DAMAGED: (u64, usize) = (7, 300);

/// Compares damaged images with the model, and checks that the kernel survives them.
pub(super) fn hostile(setup: &Setup, _: &CheckArgs) -> Result<Vec<Item>> {
    let (seed, count) = DAMAGED;
    let well = format!("{count} damaged images (seed {seed}) leave the kernel well");
    let (verdicts, sound) = match corrupted::run(setup, seed, count) {
        Err(error) if error.is::<Complaint>() => {
            return Ok(vec![Item::new(well, Some(format!("{error:#}")))]);
        }
        done => done?,
    };
    let refused = verdicts.iter().filter(|v| v.paths == 0).count();
    let failed = (!sound.holds() || sound.paths == 0).then(|| {
        let seen = report::differences(&sound, 3);
        format!("a sound image after them: {} paths\n{seen}", sound.paths)
    });
    let mut items = vec![Item::new(
        format!("{well}, which then reads a sound one; {refused} do not mount"),
        failed,
    )];
    items.extend(verdicts.iter().map(|v| {
        let failed = (!v.holds()).then(|| {
            format!(
                "{}    done to it: {}",
                report::differences(v, 3),
                v.notes.join("; ")
            )
        });
        Item::new(format!("damaged image: {}", v.image), failed)
    }));
    Ok(items)
}
