// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Parts of `check` that repeat tests with caches and images on XFS and btrfs.

use anyhow::Result;
use vmtest_lab::Setup;
use vmtest_wire::disk::DiskFs;
use vmtest_wire::faults::Fault;
use vmtest_wire::image::{Backing, Observer};
use vmtest_wire::vfs_checks::CheckResult;

use super::guest::fault_items;
use super::Item;
use crate::suites::faults::{self, FaultArgs};
use crate::suites::{conform, vfs_checks};

/// The file systems beside ext4, on which all other parts are.
const OTHERS: [DiskFs; 2] = [DiskFs::Xfs, DiskFs::Btrfs];

/// Scenarios of `check`: those whose outcome depends on how the file system finds, writes and punches
/// what is missing.
const SCENARIOS: [&str; 8] = [
    "buffer-is-a-missing-page",
    "cache-file-",
    "conversation",
    "crash-of-the-daemon",
    "hits-here-and-there",
    "no-space",
    "part-of-a-page",
    "short-write",
];

/// Faults of `check`.
const FAULTS: [Fault; 2] = [Fault::Kill, Fault::Full];

/// Rounds of each fault in `--nightly`.
const ROUNDS: u32 = 50;

/// Repeats a few scenarios, a round of a few faults, and the VFS checks over image files.
pub(super) fn some(setup: &Setup) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for disk in OTHERS {
        items.extend(named(
            conform::some_verdicts(setup, disk, &SCENARIOS)?,
            disk,
        ));
        items.extend(vfs(setup, disk, |o| {
            o.fs == "ondine" && o.backing == Backing::File
        })?);
        let mut args = faults::few(1, &FAULTS);
        args.disk.disk = disk;
        items.extend(fault_items(setup, &args)?);
    }
    Ok(items)
}

/// Repeats all scenarios, VFS checks and faults.
pub(super) fn all(setup: &Setup) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for disk in OTHERS {
        items.extend(named(conform::verdicts(setup, disk)?, disk));
        items.extend(vfs(setup, disk, |_| true)?);
        let args: FaultArgs = faults::many(ROUNDS, disk);
        items.extend(fault_items(setup, &args)?);
    }
    Ok(items)
}

fn vfs(setup: &Setup, disk: DiskFs, keep: impl Fn(&Observer) -> bool) -> Result<Vec<Item>> {
    let checked = vfs_checks::run(setup, setup.boot()?, disk, keep)?;
    let verdict = |check: CheckResult| {
        let name = format!("{} [{}]", check.name, check.on);
        (name, check.failed)
    };
    Ok(named(checked.into_iter().map(verdict).collect(), disk))
}

fn named(verdicts: Vec<(String, Option<String>)>, disk: DiskFs) -> Vec<Item> {
    let item = |(name, failed)| Item::new(format!("{name} [{}]", disk.as_str()), failed);
    verdicts.into_iter().map(item).collect()
}
