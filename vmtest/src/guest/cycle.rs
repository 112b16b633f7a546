// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Load, mount, use, unmount, unload, many times over; then nothing may have grown.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::job::{Backing, Observer, Row};
use super::mounts::{drop_caches, Mounted};
use super::observe;

/// The order of `vmtest guest cycle`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CycleJob {
    /// The drive with the images.
    pub drive: String,
    /// The module to load and unload.
    pub module: String,
    /// Its images.
    pub rows: Vec<Row>,
    /// How often.
    pub rounds: u32,
}

/// What is left of the rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cycled {
    /// Rounds that were measured.
    pub rounds: u32,
    /// Files read in all rounds.
    pub files: u64,
    /// What grew in the first half of the rounds and again in the second: name, and the number before, between and
    /// after.
    pub grown: Vec<(String, [u64; 3])>,
    /// Bytes that the kernel holds more than before, caches dropped, after each half.
    pub bytes: [i64; 2],
}

/// Rounds before the first count: caches of the kernel fill.
const WARM_UP: u32 = 20;

/// An object in so many rounds is a leak.
const ROUNDS_PER_OBJECT: u32 = 8;
/// Up to so many objects come and go with what else the guest does, however few rounds there are.
const UNREST: u64 = 4;

/// Does the job.
///
/// Kernel caches grow now and then by a step, a leak grows with the rounds: so two halves are counted.
///
/// # Errors
/// When a step of a round fails: loading, mounting, reading, unmounting or unloading.
pub(super) fn run(job: &CycleJob) -> Result<Cycled> {
    let _drive = observe::attach(&job.drive)?;
    let half = job.rounds.div_ceil(2);
    let mut round = 0;
    let mut files = 0;
    let mut turn = |rounds| -> Result<Count> {
        for _ in 0..rounds {
            files += self::round(job).with_context(|| format!("round {round}"))?;
            if round % 20 == 0 {
                eprintln!("  round {round}");
            }
            round += 1;
        }
        Count::now()
    };
    let counts = [turn(WARM_UP)?, turn(half)?, turn(half)?];
    let [before, between, after] = &counts;
    let room = u64::from(half / ROUNDS_PER_OBJECT).max(UNREST);
    let grown = after.objects.keys().filter_map(|name| {
        let of = |count: &Count| count.objects.get(name).copied().unwrap_or(0);
        let numbers = counts.each_ref().map(of);
        let leaks = numbers.is_sorted_by(|then, now| *now > then + room);
        leaks.then(|| (name.clone(), numbers))
    });
    let more = |then: &Count, now: &Count| -> Result<i64> {
        Ok(i64::try_from(then.free)? - i64::try_from(now.free)?)
    };
    Ok(Cycled {
        rounds: 2 * half,
        files,
        grown: grown.collect(),
        bytes: [more(before, between)?, more(between, after)?],
    })
}

fn round(job: &CycleJob) -> Result<u64> {
    let module = File::open(&job.module)?;
    rustix::system::finit_module(&module, c"", 0).context("loading the module")?;
    let mut files = 0;
    let mut mounts = Vec::new();
    for (n, row) in job.rows.iter().enumerate() {
        for backing in [Backing::File, Backing::Loop] {
            let point = format!("/run/ondine/cycle/{n}-{backing:?}");
            let observer = Observer::new("ondine", backing);
            let mounted = Mounted::image(row, &observer, Path::new(&point))?
                .map_err(|errno| anyhow::anyhow!("{} {observer}: {errno}", row.name))?;
            files += read_tree(&mounted.point)?;
            mounts.push(mounted);
        }
    }
    files += above(&mounts[0])?;
    ensure!(
        unload().is_err(),
        "the module is unloaded although it is in use"
    );
    while let Some(mounted) = mounts.pop() {
        let point = mounted.point.clone();
        let left = mounted.unmount();
        ensure!(left.is_ok(), "unmounting {}: {left:?}", point.display());
    }
    // The last inode goes after a grace period; the module waits for it itself.
    unload().context("unloading the module")?;
    Ok(files)
}

fn unload() -> std::io::Result<()> {
    Ok(rustix::system::delete_module(c"ondine", libc::O_NONBLOCK)?)
}

/// A bind mount and an overlay on top of one mount, used and taken away again.
fn above(below: &Mounted) -> Result<u64> {
    let bind = Mounted::with(
        "none",
        &below.point,
        Path::new("/run/ondine/cycle/bind"),
        "",
        MountFlags::BIND,
    )?
    .map_err(|errno| anyhow::anyhow!("bind mount: {errno}"))?;
    let upper = Mounted::with(
        "tmpfs",
        Path::new("tmpfs"),
        Path::new("/run/ondine/cycle/upper"),
        "",
        MountFlags::empty(),
    )?
    .map_err(|errno| anyhow::anyhow!("tmpfs: {errno}"))?;
    for dir in ["upper", "work"] {
        fs::create_dir(upper.point.join(dir))?;
    }
    let options = format!(
        "lowerdir={},upperdir={up}/upper,workdir={up}/work",
        below.point.display(),
        up = upper.point.display()
    );
    let point = Path::new("/run/ondine/cycle/overlay");
    let merged = Mounted::with(
        "overlay",
        Path::new("overlay"),
        point,
        &options,
        MountFlags::empty(),
    )?
    .map_err(|errno| anyhow::anyhow!("overlayfs: {errno}"))?;
    let files = read_tree(&merged.point)?;
    fs::write(merged.point.join("written"), b"above")?;
    for mounted in [merged, upper, bind] {
        let left = mounted.unmount();
        ensure!(left.is_ok(), "unmounting what is above: {left:?}");
    }
    Ok(files)
}

/// Looks at what is below `dir` and reads the files; how many there were.
fn read_tree(dir: &Path) -> Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        if meta.is_dir() {
            // The directory of 1500 files is looked into, not read: a round is to be short.
            if entry.file_name() == "many" {
                files += fs::read_dir(entry.path())?.count() as u64;
            } else {
                files += read_tree(&entry.path())?;
            }
        } else if meta.is_file() && meta.len() < 1 << 20 {
            fs::read(entry.path())?;
            files += 1;
        }
    }
    Ok(files)
}

/// What the kernel holds.
pub(crate) struct Count {
    /// Objects of each slab cache in use, and other countable things.
    pub(crate) objects: BTreeMap<String, u64>,
    /// Free bytes.
    pub(crate) free: u64,
}

impl Count {
    /// Counts, with all caches dropped.
    ///
    /// # Errors
    /// When there is nothing to count in.
    pub(crate) fn now() -> Result<Self> {
        // What waits for a grace period, for a work queue or in KASAN's quarantine is let go first.
        for _ in 0..3 {
            drop_caches()?;
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        for cache in fs::read_dir("/sys/kernel/slab")
            .into_iter()
            .flatten()
            .flatten()
        {
            // Not every cache can be shrunk.
            let _ = fs::write(cache.path().join("shrink"), "1");
        }
        let mut objects = BTreeMap::new();
        let slabs = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo")?;
        for line in slabs.lines().skip(2) {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(active)) = (words.next(), words.next()) {
                objects.insert(format!("slab {name}"), active.parse()?);
            }
        }
        ensure!(
            objects.len() > 20,
            "/proc/slabinfo has {} caches",
            objects.len()
        );
        let lines = |path: &str| fs::read_to_string(path).map_or(0, |t| t.lines().count() as u64);
        objects.insert("mounts".to_owned(), lines("/proc/self/mounts"));
        objects.insert("vmalloc areas".to_owned(), lines("/proc/vmallocinfo"));
        objects.insert("file systems".to_owned(), lines("/proc/filesystems"));
        Ok(Self {
            objects,
            free: free()?,
        })
    }
}

/// Bytes that are free or hold what can be named: pages of files and of programs, and the lists of
/// free pages that each processor keeps, which `MemFree` leaves out. Slabs are counted apart.
fn free() -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let mut kilobytes = 0;
    for name in [
        "MemFree:",
        "Buffers:",
        "Cached:",
        "AnonPages:",
        "Slab:",
        "PageTables:",
        "KernelStack:",
    ] {
        let line = memory.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        kilobytes += number
            .with_context(|| format!("no {name} in /proc/meminfo"))?
            .parse::<u64>()?;
    }
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let listed = zones
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"));
    let pages: u64 = listed
        .filter_map(|count| count.trim().parse::<u64>().ok())
        .sum();
    Ok(kilobytes * 1024 + pages * 4096)
}
