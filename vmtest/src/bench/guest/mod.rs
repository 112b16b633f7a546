// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Measuring in the guest, where one nanosecond of the clock is one instruction.

mod map;
mod place;
mod room;
pub(crate) mod store;
mod work;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mm::{mlockall, MlockAllFlags};
use serde::{Deserialize, Serialize};

use super::figure::{Figure, Findings, Refused, State, FLOOR};
use place::{Place, PLACES};
use room::Room;
use store::Store;
use work::Work;

/// The order of `vmtest guest measure`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The block device with what [`crate::bench::stage`] lays out.
    pub drive: String,
    /// The most repeats of one workload; fewer when the best two agree.
    pub repeats: u32,
    /// Only workloads whose name contains this.
    pub only: Option<String>,
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
    let room = Room::enter(&["tar", "find"])?;
    let store = Store::fill(&job.drive)?;
    store.copy_tree()?;
    // The program itself lies on the host's disk, and must not be read again.
    mlockall(MlockAllFlags::CURRENT).context("mlockall")?;
    // Without 4 the kernel prints a line each time, on a serial port.
    fs::write(DROP, "4").context(DROP)?;
    for (n, place) in PLACES.iter().enumerate() {
        let works = work::on(place.form);
        let wanted = |w: &&Work| job.only.as_deref().is_none_or(|only| w.name.contains(only));
        let works: Vec<&Work> = works.iter().filter(wanted).collect();
        if works.is_empty() {
            continue;
        }
        eprintln!(
            "  {:>2} of {}: {}, {}",
            n + 1,
            PLACES.len(),
            place.name,
            place.form
        );
        let (path, mounted) = match place.open()? {
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
            (work.run)(&path).with_context(|| format!("{} on {}", work.name, place.name))?;
            for state in work.states {
                if place.name == FLOOR && *state != State::Warm {
                    // It has nothing that could be dropped.
                    continue;
                }
                let figure = measure(&store, place, work, *state, job.repeats, &path)
                    .with_context(|| format!("{} on {}", work.name, place.name))?;
                findings.figures.push(figure);
            }
        }
        if let Some(mounted) = mounted {
            let left = mounted.unmount();
            anyhow::ensure!(left.is_ok(), "{} does not unmount: {left:?}", place.name);
        }
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

fn measure(
    store: &Store,
    place: &Place,
    work: &Work,
    state: State,
    repeats: u32,
    path: &std::path::Path,
) -> Result<Figure> {
    let mut best: Option<(u64, (u64, u64))> = None;
    let mut all = Vec::new();
    for _ in 0..repeats.max(1) {
        drop_caches(state)?;
        // What was dropped is freed later, by others; to wait is no instruction.
        std::thread::sleep(SETTLE);
        let before = store.reads()?;
        let begin = Instant::now();
        (work.run)(path)?;
        let took = u64::try_from(begin.elapsed().as_nanos())?;
        let after = store.reads()?;
        all.push(took);
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, (after.0 - before.0, after.1 - before.1)));
        }
        if agree(&all) {
            break;
        }
    }
    let (instructions, (reads, read_bytes)) = best.unwrap_or_default();
    Ok(Figure {
        work: work.name.to_owned(),
        form: place.form,
        state,
        place: place.name.to_owned(),
        instructions,
        reads,
        read_bytes,
        repeats: all,
    })
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
