// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Measuring in the guest, where one nanosecond of the clock is one instruction.

mod daemon;
pub(crate) mod map;
mod marked;
mod place;
mod room;
pub(crate) mod store;
mod work;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mm::{mlockall, MlockAllFlags};
use serde::{Deserialize, Serialize};

use super::figure::{Figure, Findings, Refused, State, FLOOR};
pub use place::Set;
use place::{Open, Place};
use room::Room;
use store::Store;
use work::Work;
pub(super) use work::BLOB_READS;

/// The order of `vmtest guest measure`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The block device with what [`crate::bench::stage`] lays out.
    pub drive: String,
    /// The most repeats of one workload; fewer when the best two agree.
    pub repeats: u32,
    /// Only workloads whose name contains this.
    pub only: Option<String>,
    /// The places to measure.
    pub sets: Vec<Set>,
    /// `ondined`.
    pub daemon: PathBuf,
}

/// Does the job.
///
/// # Errors
/// When the store cannot be made or a workload fails. A mount that is refused is an answer.
pub fn run(job: &Job) -> Result<Findings> {
    eprintln!("  copying the drive into memory");
    let mut findings = Findings {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        figures: Vec::new(),
        refused: Vec::new(),
    };
    // From here on the only files in sight are in memory: nothing waits for the host.
    let room = Room::enter(&[
        "tar",
        "find",
        job.daemon.to_str().context("a path in UTF-8")?,
    ])?;
    let store = Store::fill(&job.drive)?;
    let places = place::of(&job.sets);
    if places.iter().any(|place| place.name == FLOOR) {
        store.copy_tree()?;
    }
    // The program itself lies on the host's disk, and must not be read again.
    mlockall(MlockAllFlags::CURRENT).context("mlockall")?;
    // Without 4 the kernel prints a line each time, on a serial port.
    fs::write(DROP, "4").context(DROP)?;
    for (n, place) in places.iter().enumerate() {
        let works = work::on(place.form);
        let wanted = |w: &&Work| job.only.as_deref().is_none_or(|only| w.name.contains(only));
        let works: Vec<&Work> = works.iter().filter(wanted).collect();
        if works.is_empty() {
            continue;
        }
        eprintln!(
            "  {:>2} of {}: {}, {}",
            n + 1,
            places.len(),
            place.name,
            place.form
        );
        let open = match place.open(&job.daemon)? {
            Ok(open) => open,
            Err(errno) => {
                findings.refused.push(Refused {
                    place: place.name.to_owned(),
                    form: place.form,
                    errno: errno.to_string(),
                });
                continue;
            }
        };
        for work in works {
            // Fills the caches for the warm state, and what only a first run needs for the others.
            (work.run)(&open.path).with_context(|| format!("{} on {}", work.name, place.name))?;
            for state in work.states {
                if place.name == FLOOR && *state != State::Warm {
                    // It has nothing that could be dropped.
                    continue;
                }
                let figure = measure(&store, place, work, *state, job.repeats, &open)
                    .with_context(|| format!("{} on {}", work.name, place.name))?;
                findings.figures.push(figure);
            }
        }
        open.close().with_context(|| place.name.to_owned())?;
        drop_caches(State::Cold)?;
    }
    drop(room);
    Ok(findings)
}

/// Guest time for what the kernel does in the background: grace periods, writeback.
const SETTLE: Duration = Duration::from_millis(300);

const DROP: &str = "/proc/sys/vm/drop_caches";

fn drop_caches(state: State) -> Result<()> {
    let which = match state {
        State::Warm => return Ok(()),
        State::Names => "2",
        State::Cold => "3",
    };
    rustix::fs::sync();
    fs::write(DROP, which).context(DROP)
}

/// What was seen of one.
#[derive(Default)]
struct Repeat {
    instructions: u64,
    reads: u64,
    read_bytes: u64,
    cached_bytes: u64,
}

fn measure(
    store: &Store,
    place: &Place,
    work: &Work,
    state: State,
    repeats: u32,
    open: &Open,
) -> Result<Figure> {
    let mut best: Option<Repeat> = None;
    let mut all = Vec::new();
    for _ in 0..repeats.max(1) {
        drop_caches(state)?;
        // What was dropped is freed later, by others; to wait is no instruction.
        std::thread::sleep(SETTLE);
        let before = store.reads()?;
        let cached = cached()?;
        let begin = Instant::now();
        (work.run)(&open.path)?;
        let took = u64::try_from(begin.elapsed().as_nanos())?;
        let after = store.reads()?;
        all.push(took);
        if best.as_ref().is_none_or(|best| took < best.instructions) {
            best = Some(Repeat {
                instructions: took,
                reads: after.0 - before.0,
                read_bytes: after.1 - before.1,
                cached_bytes: self::cached()?.saturating_sub(cached),
            });
        }
        if agree(&all) {
            break;
        }
    }
    let best = best.unwrap_or_default();
    Ok(Figure {
        work: work.name.to_owned(),
        form: place.form,
        state,
        place: place.name.to_owned(),
        instructions: best.instructions,
        reads: best.reads,
        read_bytes: best.read_bytes,
        cached_bytes: best.cached_bytes,
        repeats: all,
    })
}

/// Bytes in the page cache.
fn cached() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Cached:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib
        .context("/proc/meminfo tells no Cached")?
        .parse::<u64>()?
        << 10)
}

/// Whether the least two are within a thousandth: the least of more would be no other.
fn agree(repeats: &[u64]) -> bool {
    let mut sorted = repeats.to_vec();
    sorted.sort_unstable();
    matches!(sorted[..], [least, next, ..] if next - least <= least / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeating_ends_when_the_best_two_agree() {
        assert!(!agree(&[1_000_000]));
        assert!(!agree(&[1_002_000, 1_000_000]));
        assert!(agree(&[1_002_000, 1_000_000, 1_000_900]));
    }
}
