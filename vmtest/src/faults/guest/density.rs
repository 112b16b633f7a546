// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Many mounts of images of many blobs, that share them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{anyhow, ensure, Context, Result};
use rustix::mount::{unmount, UnmountFlags};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::ground::{attach, Ground};
use super::readers::compare;
use super::watch;
use crate::faults::sample::{small, Sample};
use crate::guest::cycle::Count;
use crate::guest::mounts::Mounted;
use crate::vm::SCRATCH;

/// So many free objects of each slab cache the allocator keeps at hand, and counts as in use.
const SHEAVES: u64 = 500;

/// The order of `vmtest guest density`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DensityJob {
    /// The disk with the cache, an ext4.
    pub(crate) disk: PathBuf,
    /// How many mounts share one set of blobs.
    pub(crate) mounts: u32,
    /// How many more have blobs of their own.
    pub(crate) alone: u32,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) images: PathBuf,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) names: Vec<String>,
}

/// What it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Density {
    /// Blobs of an image, the bootstrap not counted.
    pub(crate) blobs: u32,
    /// Files that were compared.
    pub(crate) files: u64,
    /// Bytes for each of the mounts that share their blobs.
    pub(crate) per_mount: i64,
    /// Bytes for each further blob.
    pub(crate) per_blob: i64,
    /// Bytes that are gone for good, all mounts together.
    pub(crate) left: i64,
    /// Slab caches that grew by an object a mount or more, likewise, while mounted: name and objects.
    pub(crate) slabs: Vec<(String, u64)>,
    /// Slab caches that kept an object a mount or more (and more than the allocator does) when all was
    /// unmounted.
    pub(crate) kept: Vec<(String, u64)>,
    /// Seconds for each mount, to the millionth.
    pub(crate) mount_us: u64,
}

/// Does the job.
///
/// # Errors
/// A mount fails, or a file is not what it should be.
pub(crate) fn run(job: &DensityJob) -> Result<Density> {
    let ground = Ground::with_cache(&job.images, &job.names, None)?;
    attach(&job.disk.display().to_string(), &ground.cache)?;
    let samples = small();
    let daemon = Daemon::start(&ground.service(0))?;
    let mut files = 0;

    // Kernel caches that the first mount of all fills are not a mount's.
    let warm = mount(&ground, "warm", None)?;
    files += look(&warm, &samples, 0)?;
    ground.unmount(warm)?;
    let before = Held::now()?;
    let mut mounts = Vec::new();
    let begin = Instant::now();
    for n in 0..job.mounts {
        mounts.push(mount(&ground, &format!("s{n}"), None)?);
    }
    let mount_us = begin.elapsed().as_micros() as u64 / u64::from(job.mounts.max(1));
    for (n, mounted) in mounts.iter().enumerate() {
        files += look(mounted, &samples, n)?;
        if n % 100 == 0 {
            eprintln!("  mount {n}");
        }
    }
    let shared = Held::now()?;
    for n in 0..job.alone {
        let mounted = mount(&ground, &format!("a{n}"), Some(n))?;
        files += look(&mounted, &samples, n as usize)?;
        mounts.push(mounted);
    }
    let all = Held::now()?;
    for mounted in mounts {
        let point = mounted.point.clone();
        ground.unmount(mounted)?;
        fs::remove_dir(point)?;
    }
    let done = || fs::read_dir("/sys/fs/ondine").map_or(true, |mut dir| dir.next().is_none());
    watch::until("all mounts are gone", done)?;
    daemon.kill()?;
    // Refused as long as anybody holds a cache file; and the inodes of those files go with it.
    unmount(&ground.cache, UnmountFlags::empty()).context("unmounting the cache's disk")?;
    let after = Held::now()?;

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

/// Mounts the image under a name of its own; with the blobs that all share, or `alone`.
fn mount(ground: &Ground, name: &str, alone: Option<u32>) -> Result<Mounted> {
    let suffix = alone.map_or(String::new(), |n| format!("~{n}"));
    let devices = ground.names[1..].iter();
    let devices: String = devices
        .map(|blob| format!(",device={blob}{suffix}"))
        .collect();
    let options = format!("domain_id=density,fsid={}~{name}{devices}", ground.names[0]);
    let point = Path::new(SCRATCH).join("density").join(name);
    Mounted::plain("ondine", Path::new("none"), &point, &options)?
        .map_err(|errno| anyhow!("mount {name}: {errno}"))
}

/// Reads a file of each blob or so, other ones in each mount; how many.
fn look(mounted: &Mounted, samples: &[Sample], n: usize) -> Result<u64> {
    let mut files = 0;
    for sample in samples.iter().skip(n % 8).step_by(8).take(20) {
        let path = mounted.point.join(&sample.path);
        let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        ensure!(
            bytes.len() == sample.bytes.len(),
            "{} has another size",
            path.display()
        );
        compare(sample, 0, &bytes)?;
        files += 1;
    }
    Ok(files)
}

/// What the kernel holds, with all caches dropped.
struct Held {
    /// Pages of programs not counted; differences alone mean something.
    bytes: i64,
    count: Count,
}

impl Held {
    fn now() -> Result<Self> {
        let count = Count::now()?;
        // The count takes slabs for free, since it counts their objects.
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

/// The slab caches that have an object a mount more, if that is more than what is kept at hand.
fn grown(then: &Held, now: &Held, mounts: u32) -> Vec<(String, u64)> {
    let before = |name: &str| then.count.objects.get(name).copied().unwrap_or(0);
    // The kernel keeps a pool of these; those in use count as "vmalloc areas".
    let kernels_own = "slab vmap_area";
    let more = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before(name));
        (more >= u64::from(mounts).max(SHEAVES) && name != kernels_own)
            .then(|| (name.clone(), more))
    };
    now.count.objects.iter().filter_map(more).collect()
}
