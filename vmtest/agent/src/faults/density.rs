// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Memory per mount and per blob, with many mounts of images of many shared blobs.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{anyhow, ensure, Context, Result};
use rustix::mount::{unmount, UnmountFlags};
use vmtest_wire::disk::DiskFs;
use vmtest_wire::faults::{Density, DensityJob};
use vmtest_wire::fixtures::{small, Sample};
use vmtest_wire::paths::SCRATCH;

use super::daemon::Daemon;
use super::fixture::{attach, Fixture};
use super::hang_detector;
use super::readers::compare;
use crate::leak_counters::Count;
use crate::mounts::Mounted;

/// Free objects that SLUB keeps per slab cache (sheaves) and counts as in use.
const SHEAVES: u64 = 500;

/// Mounts the images, reads from each, and measures the memory that mounts and blobs take.
///
/// # Errors
/// A mount fails, or a file has wrong contents.
pub(crate) fn run(job: &DensityJob) -> Result<Density> {
    let fixture = Fixture::with_cache(&job.images, &job.names, None)?;
    attach(DiskFs::Ext4, &job.disk, &fixture.cache)?;
    let samples = small();
    let daemon = Daemon::start(&fixture.service(0))?;
    let mut files = 0;

    // Warm up: slab caches populated by the first mount must not be charged to the mounts measured
    // below.
    let warm = mount(&fixture, "warm", None)?;
    files += look(&warm, &samples, 0)?;
    fixture.unmount(warm)?;
    let before = MemoryInUse::now()?;
    let mut mounts = Vec::new();
    let begin = Instant::now();
    for n in 0..job.mounts {
        mounts.push(mount(&fixture, &format!("s{n}"), None)?);
    }
    let mount_us = begin.elapsed().as_micros() as u64 / u64::from(job.mounts.max(1));
    for (n, mounted) in mounts.iter().enumerate() {
        files += look(mounted, &samples, n)?;
        if n % 100 == 0 {
            eprintln!("  mount {n}");
        }
    }
    let shared = MemoryInUse::now()?;
    for n in 0..job.alone {
        let mounted = mount(&fixture, &format!("a{n}"), Some(n))?;
        files += look(&mounted, &samples, n as usize)?;
        mounts.push(mounted);
    }
    let all = MemoryInUse::now()?;
    for mounted in mounts {
        let point = mounted.point.clone();
        fixture.unmount(mounted)?;
        fs::remove_dir(point)?;
    }
    let done = || fs::read_dir("/sys/fs/ondine").map_or(true, |mut dir| dir.next().is_none());
    hang_detector::until("all mounts are gone", done)?;
    daemon.kill()?;
    // The unmount fails while a cache file is open; it also frees the inodes of the cache files.
    unmount(&fixture.cache, UnmountFlags::empty()).context("unmounting the cache's disk")?;
    let after = MemoryInUse::now()?;

    let blobs = u32::try_from(job.names.len() - 1)?;
    let per_mount = (shared.bytes - before.bytes) / i64::from(job.mounts.max(1));
    let further = (all.bytes - shared.bytes) - per_mount * i64::from(job.alone);
    Ok(Density {
        blobs,
        files,
        per_mount,
        per_blob: further / i64::from((job.alone * blobs).max(1)),
        left: after.bytes - before.bytes,
        slabs: grown(&before, &shared, job.mounts),
        kept: grown(&before, &after, job.mounts),
        mount_us,
    })
}

/// Mounts the image with `fsid` suffix `name`; with the shared blobs, or with private copies
/// numbered `alone`.
fn mount(fixture: &Fixture, name: &str, alone: Option<u32>) -> Result<Mounted> {
    let suffix = alone.map_or(String::new(), |n| format!("~{n}"));
    let devices = fixture.names[1..].iter();
    let devices: String = devices
        .map(|blob| format!(",device={blob}{suffix}"))
        .collect();
    let options = format!(
        "domain_id=density,fsid={}~{name}{devices}",
        fixture.names[0]
    );
    let point = Path::new(SCRATCH).join("density").join(name);
    Mounted::plain("ondine", Path::new("none"), &point, &options)?
        .map_err(|errno| anyhow!("mount {name}: {errno}"))
}

/// Reads about one file per blob, others in each mount. Returns the number of files read.
fn look(mounted: &Mounted, samples: &[Sample], n: usize) -> Result<u64> {
    let mut files = 0;
    for sample in samples.iter().skip(n % 8).step_by(8).take(20) {
        let path = mounted.point.join(&sample.path);
        let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        ensure!(
            bytes.len() == sample.bytes.len(),
            "{} has a wrong size",
            path.display()
        );
        compare(sample, 0, &bytes)?;
        files += 1;
    }
    Ok(files)
}

/// Kernel memory in use, after dropping all caches.
struct MemoryInUse {
    /// Memory in use minus a constant, in bytes. Pages of programs are not counted.
    bytes: i64,
    count: Count,
}

impl MemoryInUse {
    fn now() -> Result<Self> {
        let count = Count::now()?;
        // `Count::free` includes the slabs, since `Count` counts their objects: add them back.
        let memory = fs::read_to_string("/proc/meminfo")?;
        let line = memory.lines().find_map(|line| line.strip_prefix("Slab:"));
        let slab = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        let slab: i64 = slab.context("no Slab: in /proc/meminfo")?.parse()?;
        Ok(Self {
            bytes: slab * 1024 - i64::try_from(count.free)?,
            count,
        })
    }
}

/// Returns the slab caches that grew by at least an object per mount, and by more than [`SHEAVES`].
fn grown(then: &MemoryInUse, now: &MemoryInUse, mounts: u32) -> Vec<(String, u64)> {
    let before = |name: &str| then.count.objects.get(name).copied().unwrap_or(0);
    // The kernel keeps a pool of these; used ones count as "vmalloc areas".
    let kernels_own = "slab vmap_area";
    let more = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before(name));
        (more >= u64::from(mounts).max(SHEAVES) && name != kernels_own)
            .then(|| (name.clone(), more))
    };
    now.count.objects.iter().filter_map(more).collect()
}
