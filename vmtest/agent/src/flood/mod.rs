// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A flood of requests by an unprivileged user, while the daemon reads no messages, and its cost for others.

mod daemon;
mod tasks;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use rustix::fs::{fadvise, Advice};
use vmtest_wire::flood::{Flood, FloodJob};
use vmtest_wire::paths::SCRATCH;

use crate::leak_counters::{listed, shrink};
use crate::misses::disk;
use crate::mounts::Mounted;
use crate::on_demand::counters::State;
use crate::process::{guest_program, Process};
use crate::vfs_checks::handmade::Handmade;
use daemon::{number_of, Daemon, Received, PAGE, SIZE};
pub(crate) use tasks::part;
use tasks::{Cgroup, FloodPart, Way};

/// Directory of the cache, on a disk in memory.
const CACHE: &str = "/run/ondine/cache";
/// The first page of the file in its blob: those before it are the image's.
const FIRST: u64 = 4;
/// Pages that hints and readers leave out at the beginning of the file.
const SKIPPED: u64 = 64;
/// Readers that wait and are killed at the same time.
const GROUP: u64 = 500;
/// Time limit for a group of readers to wait, and for their end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of metadata that a mount asks for at a time (docs/spec/cachefiles-ondemand.md, section 13.6).
const METADATA: u64 = 128 << 10;
/// The page of the other mount's miss.
const MISSED: u64 = 100_000;

/// Floods a mount, and measures what others notice.
///
/// # Errors
/// The mounts, the daemon or the cgroup cannot be made; a reader gets wrong bytes, or none in time.
pub(crate) fn run(job: &FloodJob) -> Result<Flood> {
    let _disk = disk()?;
    let mut daemon = Daemon::new(Path::new(CACHE), image())?;
    let flooded = mounted(&mut daemon, "flooded")?;
    let other = mounted(&mut daemon, "other")?;
    let cgroup = Cgroup::new()?;
    // What the first of so many tasks leaves in the kernel's pools is not of the flood.
    readers(GROUP, &flooded, &cgroup)?;
    let before = free_memory()?;

    let (hint_us, after_hints) = hints(job, &flooded, &cgroup)?;
    let (kill_seconds, after_readers) = readers(job.readers, &flooded, &cgroup)?;
    let memory = before - free_memory()?;
    let poll = daemon.poll()?;
    let messages = miss(&mut daemon, &other)?;
    let close = daemon.close();

    let flood = Flood {
        hint_us,
        queued: after_hints.max(after_readers),
        kill_seconds,
        memory,
        oom_kills: cgroup.oom_kills()?,
        poll_us: micros(poll),
        messages,
        close_us: micros(close),
    };
    flooded.unmount()?;
    other.unmount()?;
    Ok(flood)
}

/// An image with one file, `large`, of almost a GiB, whose data follows the image.
fn image() -> Vec<u8> {
    Handmade::one_file("large", SIZE - FIRST * PAGE).0
}

/// Mounts the image as `fsid`, and reads a byte of its file.
fn mounted(daemon: &mut Daemon, fsid: &'static str) -> Result<Mounted> {
    let mounted = daemon.serve(thread::spawn(move || {
        let point = Path::new(SCRATCH).join(fsid);
        let mounted = Mounted::plain("ondine", Path::new("none"), &point, &format!("fsid={fsid}"))?
            .map_err(|errno| anyhow!("mounting {fsid}: {errno}"))?;
        File::open(large(&mounted))?.read_exact_at(&mut [0], 0)?;
        Ok(mounted)
    }))?;
    let asked = daemon.asked(fsid);
    ensure!(
        asked.starts_with(&[0..PAGE, PAGE..METADATA]),
        "a mount asks for {asked:?}: not for its first page, and then for {METADATA} bytes of metadata"
    );
    Ok(mounted)
}

fn large(mounted: &Mounted) -> PathBuf {
    mounted.point.join("large")
}

/// Gives the hints. Returns the microseconds of one, and the number of requests that the daemon has not read.
fn hints(job: &FloodJob, flooded: &Mounted, cgroup: &Cgroup) -> Result<(f64, u64)> {
    let hints = start(flooded, cgroup, SKIPPED, job.hints, Way::Hints)?;
    let begun = Instant::now();
    let status = hints.wait()?;
    let took = begun.elapsed();
    ensure!(status.success(), "the hints ended with {status}");
    Ok((micros(took) / job.hints as f64, queued()?))
}

/// Kills waiting readers, one group after the other. Returns the longest time until a group has ended, in seconds,
/// and the number of requests that the daemon has not read after that.
fn readers(number: u64, flooded: &Mounted, cgroup: &Cgroup) -> Result<(f64, u64)> {
    let (mut longest, mut done) = (Duration::ZERO, 0);
    // What hints have locked waits as well.
    let others = waiting()?;
    while done < number {
        let count = GROUP.min(number - done);
        // Odd pages: no hint was for them.
        let first = SKIPPED + 1 + 2 * done;
        let group = start(flooded, cgroup, first, count, Way::Readers)?;
        until(|| Ok(waiting()? == others + count))
            .with_context(|| format!("{count} readers do not all wait"))?;
        let begun = Instant::now();
        group.kill()?;
        until(|| Ok(waiting()? == others)).context("killed readers wait")?;
        longest = longest.max(begun.elapsed());
        done += count;
    }
    Ok((longest.as_secs_f64(), queued()?))
}

fn start(flooded: &Mounted, cgroup: &Cgroup, first: u64, count: u64, way: Way) -> Result<Process> {
    let part = FloodPart {
        cgroup: cgroup.dir().to_owned(),
        file: large(flooded),
        first,
        count,
        way,
    };
    let job = Path::new(SCRATCH).join("flood-part.json");
    Process::start(&mut guest_program(&std::env::current_exe()?, &part, &job)?)
}

/// Has a task miss a page of the other mount. Returns the number of messages that the daemon reads until it has the
/// READ of it, with that.
fn miss(daemon: &mut Daemon, other: &Mounted) -> Result<u64> {
    let file = File::open(large(other))?;
    fadvise(&file, 0, None, Advice::Random)?;
    let others = waiting()?;
    let reader = thread::spawn(move || {
        let mut page = [0; PAGE as usize];
        file.read_exact_at(&mut page, MISSED * PAGE)?;
        ensure!(
            page[..8] == number_of((FIRST + MISSED) * PAGE),
            "the other mount has wrong bytes"
        );
        Ok(())
    });
    until(|| Ok(waiting()? == others + 1)).context("the miss does not wait")?;
    let mut messages = 0;
    loop {
        let received = daemon.receive()?;
        messages += 1;
        match received.context("no READ of the other mount comes")? {
            Received::Read(read) if read.blob == "other" => {
                daemon.answer(&read)?;
                break;
            }
            // Those of the flood are left unanswered.
            Received::Read(_) | Received::Other => {}
        }
    }
    daemon.serve(reader)?;
    Ok(messages)
}

/// Number of requests that the daemon has not read.
fn queued() -> Result<u64> {
    State::now()?.get("requests_queued")
}

/// Number of reads that wait, of tasks and of readahead.
fn waiting() -> Result<u64> {
    State::now()?.get("waiting")
}

/// Waits until `done` holds.
fn until(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !done()? {
        ensure!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Bytes of free memory once all caches are dropped. What cannot be dropped, such as locked pages of the page cache,
/// is not free.
fn free_memory() -> Result<i64> {
    shrink()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let line = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemFree:"));
    let free = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let free: i64 = free.context("no MemFree: in /proc/meminfo")?.parse()?;
    Ok(free * 1024 + i64::try_from(listed()?)?)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
