// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Counters of a mount in `/sys/fs/ondine/<id>/`, counters of the module in debugfs, and checks of
//! their agreement.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use vmtest_wire::counters::Counters;

const DIRECTORY: &str = "/sys/fs/ondine";

/// Sums the counters of all on-demand mounts; `longest_wait_us` is the maximum.
///
/// # Errors
/// There is no on-demand mount, or a file is missing or not a number.
pub(crate) fn sum() -> Result<Counters> {
    let mut sum = Counters::default();
    let mut mounts = 0;
    for entry in fs::read_dir(DIRECTORY).context(DIRECTORY)? {
        let dir = entry?.path();
        if fs::read_to_string(dir.join("source"))?.trim_end() != "cache" {
            continue;
        }
        mounts += 1;
        sum.hits += number(&dir, "hits")?;
        sum.misses += number(&dir, "misses")?;
        sum.requests += number(&dir, "requests")?;
        sum.requests_merged += number(&dir, "requests_merged")?;
        sum.waiting += number(&dir, "waiting")?;
        let longest = number(&dir, "longest_wait_us")?;
        sum.longest_wait_us = sum.longest_wait_us.max(longest);
        sum.bytes_filled += number(&dir, "bytes_filled")?;
    }
    ensure!(mounts != 0, "{DIRECTORY} has no on-demand mount");
    Ok(sum)
}

/// The module's state file in debugfs.
pub(crate) const STATE: &str = "/sys/kernel/debug/ondine/state";

/// Contents of [`STATE`]: numbers by their names.
#[derive(Clone, Debug)]
pub(crate) struct State(BTreeMap<String, u64>);

impl State {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is missing, or a line is not a name and a number.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string(STATE).context(STATE)?;
        let line = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let numbers = text.lines().map(line).collect::<Option<_>>();
        Ok(Self(
            numbers.with_context(|| format!("{STATE} is {text:?}"))?,
        ))
    }

    /// Returns the number `name`.
    ///
    /// # Errors
    /// The file has no such line.
    pub(crate) fn get(&self, name: &str) -> Result<u64> {
        let value = self.0.get(name).copied();
        value.with_context(|| format!("{STATE} has no {name}"))
    }

    /// Returns true if no request is pending and no read waits.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) fn is_idle(&self) -> Result<bool> {
        let names = ["requests_queued", "requests_delivered", "waiting"];
        let busy = names.map(|name| self.get(name));
        Ok(busy.into_iter().sum::<Result<u64>>()? == 0)
    }

    /// Checks that the module's counters grew since `before` by `mounts`, the sum over all mounts
    /// of that time.
    ///
    /// # Errors
    /// A counter differs.
    pub(crate) fn adds_up(&self, before: &Self, mounts: &Counters) -> Result<()> {
        let told = [
            ("hits", mounts.hits),
            ("misses", mounts.misses),
            ("requests", mounts.requests),
            ("requests_merged", mounts.requests_merged),
            ("bytes_filled", mounts.bytes_filled),
        ];
        for (name, sum) in told {
            let all = self.get(name)? - before.get(name)?;
            ensure!(
                all == sum,
                "the module counts {all} more {name}, the mounts together {sum}"
            );
        }
        let longest = self.get("longest_wait_us")?;
        ensure!(
            longest >= mounts.longest_wait_us,
            "the module's longest_wait_us is {longest}, less than that of a mount, {}",
            mounts.longest_wait_us
        );
        Ok(())
    }
}

fn number(dir: &Path, name: &str) -> Result<u64> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.trim_end()
        .parse()
        .with_context(|| format!("{} is {text:?}", path.display()))
}

/// Number of reads, of one missing page each.
const READS: u64 = 24;
/// Distance between two reads in bytes: too far for readahead or prefetch to connect them.
const APART: u64 = 2 << 20;

/// Reads [`READS`] pages of the file at `path` twice, and checks the counters. The file has at
/// least 48 MiB, all missing.
///
/// # Errors
/// Hits, misses or requests are not those of the reads.
pub(super) fn known_reads(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let before = sum()?;
    let mut page = [0; 4096];
    // Not from the beginning: a read at offset 0 looks like the start of a sequential read.
    let mut turn = || -> Result<Counters> {
        for n in 0..READS {
            file.read_exact_at(&mut page, n * APART + APART / 2)?;
        }
        sum()
    };
    let (missed, hit) = (turn()?, turn()?);
    let told = |now: Counters, then: Counters| (now.hits - then.hits, now.misses - then.misses);
    ensure!(
        told(missed, before) == (0, READS),
        "{READS} reads of missing pages count as (hits, misses) {:?}",
        told(missed, before)
    );
    ensure!(
        told(hit, missed) == (READS, 0),
        "{READS} reads of present pages count as (hits, misses) {:?}",
        told(hit, missed)
    );
    let asked = missed.requests - before.requests;
    ensure!(
        asked == READS,
        "{READS} misses far apart from each other made {asked} requests, not one each"
    );
    ensure!(
        hit.waiting == 0,
        "{} reads still wait although no request is pending",
        hit.waiting
    );
    Ok(())
}
