// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Reads of missing data: the number of READ requests, and the number of them in flight.

mod trace;

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ondine_origin::{Options, Origin};
use ondined::session::Statistics;
use rustix::fs::sendfile;
use rustix::mount::{mount as attach, MountFlags};
use rustix::process::nice;
use serde::{Deserialize, Serialize};
use vmtest_wire::counters::{agree, Counters};
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::image::Row;
use vmtest_wire::misses::{
    Answer, InFlight, Job, Trial, Workloads, IN_ORDER, SINGLE, SIZE, TOGETHER, WHOLE,
};
use vmtest_wire::paths::SCRATCH;
use vmtest_wire::task::Task;

use crate::mounts::Mounted;
use crate::on_demand::cache_files;
use crate::on_demand::cache_states::{mount, unmount};
use crate::on_demand::counters::{self, State};
use crate::on_demand::ondined::{Blobs, Daemon};
use crate::process::guest_program;
use crate::{null_blk, observe, sys};

/// Workload that reads missing data.
struct Work {
    name: &'static str,
    latency_ms: u64,
    misses: u64,
    /// Expected value of `requests_merged`: reads that wait for a request of another read. None:
    /// not predictable.
    merged: Option<RangeInclusive<u64>>,
    run: fn(&Path) -> Result<()>,
}

const MIB: u64 = SIZE >> 20;
/// Latency that lets all readers start while the first one waits, on a busy machine too.
const LONG_MS: u64 = 2000;
/// Interval without new requests after which the mount counts as settled.
const SETTLE: Duration = Duration::from_millis(100);
const READERS: usize = 16;
const OTHERS: u64 = READERS as u64 - 1;
/// Increment of the nice value of reading processes.
const AHEAD: i32 = -10;
const SINGLES: u64 = 32;

const fn in_order(n: usize, latency_ms: u64, run: fn(&Path) -> Result<()>) -> Work {
    Work {
        name: IN_ORDER[n],
        latency_ms,
        misses: MIB,
        merged: None,
        run,
    }
}

const fn together(
    n: usize,
    merged: Option<RangeInclusive<u64>>,
    run: fn(&Path) -> Result<()>,
) -> Work {
    Work {
        name: TOGETHER[n],
        latency_ms: LONG_MS,
        misses: 1,
        merged,
        run,
    }
}

impl Work {
    /// Returns true if the verdict depends on the machine's speed, through the number of requests
    /// in flight.
    fn is_timed(&self) -> bool {
        IN_ORDER.contains(&self.name) && self.latency_ms > 0
    }
}

const WORKS: &[Work] = &[
    in_order(0, 0, sequential),
    in_order(1, 0, |path| sys::touch(path, SIZE as usize)),
    in_order(2, 0, send),
    in_order(0, 5, sequential),
    in_order(1, 5, |path| sys::touch(path, SIZE as usize)),
    in_order(2, 5, send),
    // Under emulation a reader takes 20 ms for a MiB, so that a latency of 5 ms is never waited
    // for. 100 ms has the proportion that 5 ms has on a processor twenty times as fast.
    in_order(0, 100, sequential),
    in_order(1, 100, |path| sys::touch(path, SIZE as usize)),
    in_order(2, 100, send),
    together(0, Some(OTHERS..=OTHERS), |path| readers(path, read_range)),
    // For a single page all readers but one wait in the page cache, without a count. But some may
    // get other pages of its readahead to fill.
    together(1, Some(0..=OTHERS), |path| {
        readers(path, |file| sys::touch_page(file, RANGE.0))
    }),
    Work {
        name: SINGLE,
        latency_ms: 0,
        misses: SINGLES,
        merged: Some(0..=0),
        run: singles,
    },
    Work {
        name: WHOLE,
        latency_ms: 0,
        misses: MIB,
        merged: None,
        run: |path| Ok(File::open(path)?.read_exact_at(&mut vec![0; SIZE as usize], 0)?),
    },
];

const DIRECTORY: &str = "/run/ondine/cache";
const CONFIG: &str = "/sys/kernel/config";

/// Runs all workloads of the job, each on an empty cache.
///
/// # Errors
/// A trial cannot be set up or its workload fails.
pub(crate) fn run(job: &Job) -> Result<Answer> {
    sys::loopback_up().context("the loopback network")?;
    let blobs = Path::new(SCRATCH).join("blobs");
    let row = in_memory(job, &blobs)?;
    let _disk = disk()?;
    // The first mount fetches the metadata, which is not measured.
    let first = Stage::new(job, &row, &blobs, 0)?.end()?;
    let mut wrong = said("mount", 0, first.wrong);
    let blob = cache_files::files(Path::new(DIRECTORY))?
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |meta| meta.len()))
        .context("the cache has no file")?;
    let mut trials = Vec::new();
    let wanted = |work: &&Work| job.workloads == Workloads::All || !work.is_timed();
    for work in WORKS.iter().filter(wanted) {
        cache_files::empty(&blob)?;
        let stage = Stage::new(job, &row, &blobs, work.latency_ms)?;
        let (trial, more) = trial(stage, work).with_context(|| work.name)?;
        wrong.extend(said(work.name, work.latency_ms, more));
        trials.push(trial);
    }
    Ok(Answer { trials, wrong })
}

fn said(work: &str, latency_ms: u64, wrong: Vec<String>) -> Vec<String> {
    let line = |why| format!("{work}, {latency_ms} ms away: {why}");
    wrong.into_iter().map(line).collect()
}

fn trial(stage: Stage, work: &Work) -> Result<(Trial, Vec<String>)> {
    elsewhere(work, stage.mounted.point.join("large"))?;
    let mut ended = stage.end()?;
    let (counters, done) = (ended.counters, ended.done);
    eprintln!(
        "  {}, {} ms: {} READs, {} merged, longest wait {} us",
        work.name, work.latency_ms, done.reads, counters.requests_merged, counters.longest_wait_us
    );
    let merged = work.merged.as_ref();
    if let Some(merged) = merged.filter(|range| !range.contains(&counters.requests_merged)) {
        ended.wrong.push(format!(
            "requests_merged is {}, expected {merged:?}, the reads that wait for another read's request",
            counters.requests_merged
        ));
    }
    let trial = Trial {
        work: work.name.to_owned(),
        latency_ms: work.latency_ms,
        misses: work.misses,
        reads: done.reads,
        wakeups: done.read_wakeups,
        counters,
        flight: ended.flight,
    };
    Ok((trial, ended.wrong))
}

/// Job of `vmtest guest miss-work`: the name of one of [`WORKS`], and the file to read.
#[derive(Serialize, Deserialize)]
pub(crate) struct MissJob {
    work: String,
    path: PathBuf,
}

impl Task for MissJob {
    const NAME: &'static str = "miss-work";
    type Answer = ();
}

/// Runs `work` in another process: a page fault may hold the mmap lock of its process while it
/// waits, and the HTTP server in this process needs that lock to allocate memory.
fn elsewhere(work: &Work, path: PathBuf) -> Result<()> {
    let job = MissJob {
        work: work.name.to_owned(),
        path,
    };
    let file = Path::new(SCRATCH).join("job.json");
    let status = guest_program(&std::env::current_exe()?, &job, &file)?.status()?;
    ensure!(status.success(), "reading ended with {status}");
    Ok(())
}

/// Runs one workload, in the process started for it.
///
/// # Errors
/// Errors of reading, or an unknown workload.
pub(crate) fn work(job: &MissJob) -> Result<()> {
    // The server stands for another machine, so readers must not lose the processors to it.
    nice(AHEAD)?;
    let work = WORKS.iter().find(|work| work.name == job.work);
    (work.context("unknown workload")?.run)(&job.path)
}

/// Mounted image with its daemon and the HTTP server behind it, while requests are traced.
struct Stage {
    origin: Origin,
    daemon: Daemon,
    mounted: Mounted,
    latency: Duration,
    /// Counters of the module before the mount.
    before: State,
    begun: Instant,
}

/// Counters of a finished trial.
struct Ended {
    counters: Counters,
    done: Statistics,
    flight: InFlight,
    /// Descriptions of counters that disagree.
    wrong: Vec<String>,
}

impl Stage {
    fn new(job: &Job, row: &Row, blobs: &Path, latency_ms: u64) -> Result<Self> {
        let latency = Duration::from_millis(latency_ms);
        let options = Options {
            root: blobs.to_owned(),
            latency,
            ranges: true,
        };
        let origin = Origin::listen("127.0.0.1:0", options)?;
        let url = origin.url();
        let daemon = Daemon::serve(&job.daemon, Path::new(DIRECTORY), Blobs::Http(&url), &[])?;
        trace::record()?;
        let (before, begun) = (State::now()?, Instant::now());
        let mounted = mount(row, "/run/ondine/missing")?;
        ensure!(
            fs::metadata(mounted.point.join("large"))?.len() == SIZE,
            "the file `large` of image {} does not have {SIZE} bytes",
            row.name
        );
        Ok(Self {
            origin,
            daemon,
            mounted,
            latency,
            before,
            begun,
        })
    }

    fn end(self) -> Result<Ended> {
        let counters = self.settled()?;
        let took = self.begun.elapsed();
        let module = State::now()?;
        unmount(self.mounted)?;
        let done = self.daemon.stop()?;
        let recorded = trace::recorded()?;
        let checks = [
            agree(&counters, &done),
            module.adds_up(&self.before, &counters),
            recorded.tally.adds_up(&counters, &done),
            waits(&counters, self.latency, took),
        ];
        let wrong = checks.into_iter().filter_map(Result::err);
        Ok(Ended {
            counters,
            done,
            flight: recorded.flight,
            wrong: wrong.map(|why| why.to_string()).collect(),
        })
    }

    /// Waits until prefetches have ended and returns the counters of the mount.
    fn settled(&self) -> Result<Counters> {
        let mut before = counters::sum()?;
        loop {
            thread::sleep(SETTLE);
            let now = counters::sum()?;
            let idle = self.origin.flight().last().is_none_or(|c| c.in_flight == 0);
            if idle && now == before {
                return Ok(now);
            }
            before = now;
        }
    }
}

/// Checks the longest wait of reads, at least the `latency` of the server and at most the duration
/// `took` of the trial, and that no read is still waiting.
fn waits(counters: &Counters, latency: Duration, took: Duration) -> Result<()> {
    let longest = Duration::from_micros(counters.longest_wait_us);
    ensure!(
        counters.requests == 0 || (latency..=took).contains(&longest),
        "longest_wait_us is {longest:?}, the server's latency is {latency:?}, and the trial ended \
         after {took:?}"
    );
    ensure!(
        counters.waiting == 0,
        "{} reads still wait although no request is pending",
        counters.waiting
    );
    Ok(())
}

/// Copies the files of the image into memory, so that no disk slows the server down.
fn in_memory(job: &Job, blobs: &Path) -> Result<Row> {
    let _images = observe::attach(&job.images)?;
    fs::create_dir_all(blobs)?;
    let copy = |path: &String| -> Result<String> {
        let to = blobs.join(Path::new(path).file_name().context("a bare directory")?);
        fs::copy(path, &to).with_context(|| path.clone())?;
        Ok(to.display().to_string())
    };
    Ok(Row {
        primary: copy(&job.row.primary)?,
        devices: job.row.devices.iter().map(copy).collect::<Result<_>>()?,
        ..job.row.clone()
    })
}

/// Mounts an ext4 on a null_blk disk in memory, for the cache.
pub(crate) fn disk() -> Result<Mounted> {
    attach("configfs", CONFIG, "configfs", MountFlags::empty(), None).context(CONFIG)?;
    let device = PathBuf::from("/dev").join(null_blk::disk(512)?);
    Mounted::new_disk(DiskFs::Ext4, Journal::With, &device, Path::new(DIRECTORY))
}

fn sequential(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn send(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let to = File::options().write(true).open("/dev/null")?;
    while sendfile(&to, &file, None, 1 << 20)? > 0 {}
    Ok(())
}

/// Offset and length of the range that all readers read, in bytes.
const RANGE: (u64, usize) = (20 << 20, 128 << 10);

fn read_range(file: &File) -> Result<()> {
    Ok(file.read_exact_at(&mut vec![0; RANGE.1], RANGE.0)?)
}

fn readers(path: &Path, read: fn(&File) -> Result<()>) -> Result<()> {
    let barrier = Barrier::new(READERS);
    thread::scope(|scope| {
        let begin = || -> Result<()> {
            let file = File::open(path)?;
            barrier.wait();
            read(&file)
        };
        let threads: Vec<_> = (0..READERS).map(|_| scope.spawn(begin)).collect();
        threads.into_iter().try_for_each(|thread| {
            let ended = thread.join();
            ended.map_err(|_| anyhow::anyhow!("a reader panicked"))?
        })
    })
}

fn singles(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut page = [0; 4096];
    for n in 0..SINGLES {
        // Backwards, so that no read continues the previous one.
        file.read_exact_at(&mut page, (SINGLES - 1 - n) * (SIZE / SINGLES) + 4096)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_judged_by_counts_too() {
        let mut names = IN_ORDER.into_iter().chain(TOGETHER).chain([SINGLE, WHOLE]);
        let counted = |name: &str| WORKS.iter().any(|w| w.name == name && !w.is_timed());
        assert!(names.all(counted));
    }
}
