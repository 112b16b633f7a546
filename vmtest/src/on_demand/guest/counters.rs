// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a mount counts, in `/sys/fs/ondine/<id>/`, what the module counts, in debugfs, and whether it
//! adds up.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

/// The counters of an on-demand mount, or their sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Reads that found their bytes present.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// READ requests that reads caused.
    pub requests: u64,
    /// Waits for a request that another read has waited for already.
    pub requests_merged: u64,
    /// Reads that wait.
    pub waiting: u64,
    /// Longest wait of a read, in microseconds; of several mounts, the longest of all.
    pub longest_wait_us: u64,
    /// Bytes that a daemon has brought.
    pub bytes_filled: u64,
}

const DIRECTORY: &str = "/sys/fs/ondine";

impl Counters {
    /// The sum over all on-demand mounts there are.
    ///
    /// # Errors
    /// When there is none, or a file is missing or no number.
    pub(crate) fn sum() -> Result<Self> {
        let mut sum = Self::default();
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
}

/// Where the module says how it is.
pub(crate) const STATE: &str = "/sys/kernel/debug/ondine/state";

/// What the module says there: numbers by their names.
#[derive(Clone, Debug)]
pub(crate) struct State(BTreeMap<String, u64>);

impl State {
    /// As it is now.
    ///
    /// # Errors
    /// The file is missing, or a line in it is not a name and a number.
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

    /// The number with this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn get(&self, name: &str) -> Result<u64> {
        let value = self.0.get(name).copied();
        value.with_context(|| format!("{STATE} has no {name}"))
    }

    /// Whether nothing is asked, and nobody waits.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) fn is_idle(&self) -> Result<bool> {
        let names = ["requests_queued", "requests_delivered", "waiting"];
        let busy = names.map(|name| self.get(name));
        Ok(busy.into_iter().sum::<Result<u64>>()? == 0)
    }

    /// Whether the module counted since `before` what `mounts` did, all of those that there were.
    ///
    /// # Errors
    /// What differs.
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
            "the module has seen no read wait for more than {longest} us, a mount one for {}",
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

/// Reads of one page each, far from one another: what each of them adds to hits and misses.
const READS: u64 = 24;
/// Bytes from one to the next.
const APART: u64 = 2 << 20;

/// Reads pages of the file at `path`, of 48 MiB or more and all missing, then reads them again.
///
/// # Errors
/// When hits, misses and their sum are not what was read.
pub(super) fn known_reads(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let before = Counters::sum()?;
    let mut page = [0; 4096];
    // Not from the beginning: that looks like the first read of many.
    let mut turn = || -> Result<Counters> {
        for n in 0..READS {
            file.read_exact_at(&mut page, n * APART + APART / 2)?;
        }
        Counters::sum()
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
        "{READS} misses of pages far from one another are {asked} requests"
    );
    ensure!(hit.waiting == 0, "{} reads wait for nothing", hit.waiting);
    Ok(())
}
