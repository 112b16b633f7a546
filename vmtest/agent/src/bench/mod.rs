// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Measurements in the guest, where a nanosecond of the clock is one instruction (QEMU's icount).

mod chroot;
mod fanotify_mark;
mod mounts_under_test;
mod prefetched_cache;
pub(crate) mod ramdisk;
mod workloads;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mm::{mlockall, MlockAllFlags};
use vmtest_wire::bench::{Figure, Findings, Job, MountUnderTest, Refused, State, Workload};

use chroot::Chroot;
use mounts_under_test::{OpenTarget, Target};
use ramdisk::Ramdisk;

/// Measures the workloads of the job on all its mounts.
///
/// # Errors
/// The disk in memory cannot be made, or a workload fails. A refused mount is part of the findings.
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
    // From here on all accessible files are in memory: nothing waits for the host.
    let chroot = Chroot::enter(&[
        "tar",
        "find",
        job.daemon.to_str().context("a path in UTF-8")?,
    ])?;
    let ramdisk = Ramdisk::fill(&job.drive)?;
    let targets = mounts_under_test::of(&job.sets);
    if targets
        .iter()
        .any(|target| target.mount == MountUnderTest::Tmpfs)
    {
        ramdisk.copy_tree()?;
    }
    // The executable is on the host's disk, and must not be read from there again.
    mlockall(MlockAllFlags::CURRENT).context("mlockall")?;
    // Bit 2 (4) suppresses the kernel's message for each write, which goes to a slow serial port.
    fs::write(DROP, "4").context(DROP)?;
    for (n, target) in targets.iter().enumerate() {
        let wanted = |work: Workload| {
            let only = job.only.as_deref();
            only.is_none_or(|only| work.as_str().contains(only))
        };
        let mut works = target.form.workloads().to_vec();
        works.retain(|(work, _)| wanted(*work));
        if works.is_empty() {
            continue;
        }
        eprintln!(
            "  {:>2} of {}: {}, {}",
            n + 1,
            targets.len(),
            target.mount,
            target.form
        );
        let open = match target.open(&job.daemon)? {
            Ok(open) => open,
            Err(errno) => {
                findings.refused.push(Refused {
                    place: target.mount,
                    form: target.form,
                    errno: errno.to_string(),
                });
                continue;
            }
        };
        for (work, states) in works {
            // Fills the caches for the warm state, and sets up lazily initialized state for the
            // others.
            workloads::run(work, target.form, &open.path)
                .with_context(|| format!("{work} on {}", target.mount))?;
            for state in states {
                if target.mount == MountUnderTest::Tmpfs && *state != State::Warm {
                    // tmpfs has no cache that could be dropped.
                    continue;
                }
                let figure = measure(&ramdisk, target, work, *state, job.repeats, &open)
                    .with_context(|| format!("{work} on {}", target.mount))?;
                findings.figures.push(figure);
            }
        }
        open.close().with_context(|| target.mount.to_string())?;
        drop_caches(State::Cold)?;
    }
    drop(chroot);
    Ok(findings)
}

/// Guest time for background work of the kernel, such as grace periods and writeback.
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

/// Measurement of one repeat.
#[derive(Default)]
struct Repeat {
    instructions: u64,
    reads: u64,
    read_bytes: u64,
    cached_bytes: u64,
}

fn measure(
    ramdisk: &Ramdisk,
    target: &Target,
    work: Workload,
    state: State,
    repeats: u32,
    open: &OpenTarget,
) -> Result<Figure> {
    let mut best: Option<Repeat> = None;
    let mut all = Vec::new();
    for _ in 0..repeats.max(1) {
        drop_caches(state)?;
        // Dropped objects are freed later by other tasks; sleeping costs no instructions.
        std::thread::sleep(SETTLE);
        let before = ramdisk.reads()?;
        let cached = cached()?;
        let begin = Instant::now();
        workloads::run(work, target.form, &open.path)?;
        let took = u64::try_from(begin.elapsed().as_nanos())?;
        let after = ramdisk.reads()?;
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
        work,
        form: target.form,
        state,
        place: target.mount,
        instructions: best.instructions,
        reads: best.reads,
        read_bytes: best.read_bytes,
        cached_bytes: best.cached_bytes,
        repeats: all,
    })
}

/// Size of the page cache in bytes.
fn cached() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Cached:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib
        .context("/proc/meminfo has no line Cached:")?
        .parse::<u64>()?
        << 10)
}

/// Returns true if the two smallest are within a thousandth of each other: more repeats would
/// hardly find a smaller one.
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
