// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The way of a miss: how often the daemon is asked, and how far ahead of the reader.

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
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

use super::cache;
use super::counters::{Counters, State};
use super::daemon::{Blobs, Daemon};
use super::flight::{self, Flight};
use super::states::{agree, mount, unmount};
use crate::bench::guest::{map, store};
use crate::guest::job::Row;
use crate::guest::mounts::Mounted;
use crate::guest::{observe, sys};
use crate::vm::SCRATCH;

/// The order of `vmtest guest miss`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The drive with the image.
    pub images: String,
    /// `ondined`.
    pub daemon: PathBuf,
    /// The image of one file, `large`, whose data is in a blob.
    pub row: Row,
    /// Which works.
    pub works: Works,
}

/// Some of [`WORKS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Works {
    /// All of them.
    All,
    /// Those that are judged by counts alone, however fast the machine is.
    Counted,
}

/// A work and what it came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Which of [`WORKS`].
    pub work: String,
    /// Milliseconds that the server waits before each answer.
    pub latency_ms: u64,
    /// Ranges that were missed, one after the other; of a work that reads all in order, MiB.
    pub misses: u64,
    /// READ messages.
    pub reads: u64,
    /// Times that the daemon was woken for READs.
    pub wakeups: u64,
    /// What the mount counted.
    pub counters: Counters,
    /// Requests in flight.
    pub flight: Flight,
}

/// What came of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Each work.
    pub trials: Vec<Trial>,
    /// Where counters, tracepoints, the daemon's numbers and the clock do not agree.
    pub wrong: Vec<String>,
}

/// A way to read what is missing.
struct Work {
    name: &'static str,
    latency_ms: u64,
    misses: u64,
    /// How many of its reads wait for a request of another one, as far as that is certain.
    merged: Option<RangeInclusive<u64>>,
    run: fn(&Path) -> Result<()>,
}

/// Bytes of the file.
pub const SIZE: u64 = 64 << 20;
const MIB: u64 = SIZE >> 20;
/// Long enough for all readers to come while the first one waits, on a busy machine too.
const LONG_MS: u64 = 2000;
/// Time in which a daemon does something, if it has something to do.
const SETTLE: Duration = Duration::from_millis(100);
const READERS: usize = 16;
const OTHERS: u64 = READERS as u64 - 1;
/// What a reader's nice value is changed by.
const AHEAD: i32 = -10;
const SINGLES: u64 = 32;

/// Reading in order, by each way there is.
pub const IN_ORDER: [&str; 3] = ["read(2)", "mmap", "sendfile(2)"];
/// Many readers of one range, by each way there is.
pub const TOGETHER: [&str; 2] = ["16 readers, read(2)", "16 readers, mmap"];
/// Single pages.
pub const SINGLE: &str = "single pages";

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
    /// Whether what is judged hangs on the speed of the machine: how many requests are in flight.
    fn is_timed(&self) -> bool {
        IN_ORDER.contains(&self.name) && self.latency_ms > 0
    }
}

const WORKS: &[Work] = &[
    in_order(0, 0, sequential),
    in_order(1, 0, |path| map::touch(path, SIZE as usize)),
    in_order(2, 0, send),
    in_order(0, 5, sequential),
    in_order(1, 5, |path| map::touch(path, SIZE as usize)),
    in_order(2, 5, send),
    // Under emulation a reader takes 20 ms for a MiB, so that 5 ms are no wait: this is as far away as
    // 5 ms are from a processor twenty times as fast.
    in_order(0, 100, sequential),
    in_order(1, 100, |path| map::touch(path, SIZE as usize)),
    in_order(2, 100, send),
    together(0, Some(OTHERS..=OTHERS), |path| readers(path, read_range)),
    // Of a page, all but one wait in the page cache, where nobody counts them; but some may have got
    // other pages of its readahead to fill.
    together(1, Some(0..=OTHERS), |path| {
        readers(path, |file| map::touch_page(file, RANGE.0))
    }),
    Work {
        name: SINGLE,
        latency_ms: 0,
        misses: SINGLES,
        merged: Some(0..=0),
        run: singles,
    },
];

const DIRECTORY: &str = "/run/ondine/cache";
const CONFIG: &str = "/sys/kernel/config";

/// Does the job.
///
/// # Errors
/// When a trial cannot be made.
pub(crate) fn run(job: &Job) -> Result<Answer> {
    sys::loopback_up().context("the loopback network")?;
    let blobs = Path::new(SCRATCH).join("blobs");
    let row = in_memory(job, &blobs)?;
    let _disk = disk()?;
    // The first mount brings the metadata in, which is not what is measured.
    let first = Stage::new(job, &row, &blobs, 0)?.end()?;
    let mut wrong = said("mount", 0, first.wrong);
    let blob = cache::files(Path::new(DIRECTORY))?
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |meta| meta.len()))
        .context("the cache has no file")?;
    let mut trials = Vec::new();
    let wanted = |work: &&Work| job.works == Works::All || !work.is_timed();
    for work in WORKS.iter().filter(wanted) {
        cache::empty(&blob)?;
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
            "{merged:?} reads wait for requests of others, requests_merged counts {}",
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

/// The order of `vmtest guest miss-work`: which of [`WORKS`], and on which file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    work: String,
    path: PathBuf,
}

/// Does `work` in another process: a page fault may keep the lock of its own address space while it
/// waits, and the server here needs memory to answer.
fn elsewhere(work: &Work, path: PathBuf) -> Result<()> {
    let order = Order {
        work: work.name.to_owned(),
        path,
    };
    let scratch = Path::new(SCRATCH);
    fs::write(scratch.join("order.json"), serde_json::to_vec(&order)?)?;
    let status = Command::new(std::env::current_exe()?)
        .args(["guest", "miss-work", "order.json", "done.json"])
        .current_dir(scratch)
        .status()?;
    ensure!(status.success(), "reading ended with {status}");
    Ok(())
}

/// Does what the other process is for.
///
/// # Errors
/// Those of reading.
pub(crate) fn work(order: &Order) -> Result<()> {
    // The server stands for another machine, which would not keep a reader from the processors.
    nice(AHEAD)?;
    let work = WORKS.iter().find(|work| work.name == order.work);
    (work.context("no such work")?.run)(&order.path)
}

/// A mounted image, its daemon, and the server behind that; requests are recorded.
struct Stage {
    origin: Origin,
    daemon: Daemon,
    mounted: Mounted,
    latency: Duration,
    /// What the module counted before.
    before: State,
    begun: Instant,
}

/// What came of a stage.
struct Ended {
    counters: Counters,
    done: Statistics,
    flight: Flight,
    /// What does not agree.
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
        flight::record()?;
        let (before, begun) = (State::now()?, Instant::now());
        let mounted = mount(row, "/run/ondine/missing")?;
        ensure!(
            fs::metadata(mounted.point.join("large"))?.len() == SIZE,
            "the file of {} has another size than {SIZE}",
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
        let recorded = flight::recorded()?;
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

    /// What the mount counts when all has come that was asked for ahead of a reader.
    fn settled(&self) -> Result<Counters> {
        let mut before = Counters::sum()?;
        loop {
            thread::sleep(SETTLE);
            let now = Counters::sum()?;
            let idle = self.origin.flight().last().is_none_or(|c| c.in_flight == 0);
            if idle && now == before {
                return Ok(now);
            }
            before = now;
        }
    }
}

/// Whether reads waited as long as they must have, when the server answers after `latency` and all was
/// over after `took`, and none still waits.
fn waits(counters: &Counters, latency: Duration, took: Duration) -> Result<()> {
    let longest = Duration::from_micros(counters.longest_wait_us);
    ensure!(
        counters.requests == 0 || (latency..=took).contains(&longest),
        "longest_wait_us is {longest:?}, the server takes {latency:?} for an answer, and all was over \
         after {took:?}"
    );
    ensure!(
        counters.waiting == 0,
        "{} reads wait for nothing",
        counters.waiting
    );
    Ok(())
}

/// The files of the image, copied to where no disk is waited for.
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

/// A disk in memory for the cache.
fn disk() -> Result<Mounted> {
    attach("configfs", CONFIG, "configfs", MountFlags::empty(), None).context(CONFIG)?;
    let device = PathBuf::from("/dev").join(store::disk(512)?);
    let made = Command::new("mkfs.ext4").arg("-q").arg(&device).status()?;
    ensure!(made.success(), "mkfs.ext4 ended with {made}");
    let flags = MountFlags::NOATIME;
    Mounted::with("ext4", &device, Path::new(DIRECTORY), "", flags)?
        .map_err(|errno| anyhow::anyhow!("the disk in memory does not mount: {errno}"))
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

/// First byte and bytes of what many read.
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
        // Backwards, so that none goes on where the last one ended.
        file.read_exact_at(&mut page, (SINGLES - 1 - n) * (SIZE / SINGLES) + 4096)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_judged_by_counts_too() {
        let mut names = IN_ORDER.into_iter().chain(TOGETHER).chain([SINGLE]);
        let counted = |name: &str| WORKS.iter().any(|w| w.name == name && !w.is_timed());
        assert!(names.all(counted));
    }
}
