// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Fixture of the faults: blobs in memory, a cache on a disk, a mount point.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, Context, Result};
use ondine_model::observation::Errno;
use ondined::misbehaviour::Plan;
use rustix::fs::{fallocate, FallocateFlags};
use rustix::mount::{mount, MountFlags};
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::faults::FaultJob;
use vmtest_wire::fixtures::{samples, Sample};
use vmtest_wire::paths::SCRATCH;

use super::daemon::Service;
use super::hang_detector;
use crate::mounts::Mounted;
use crate::null_blk::disk;
use crate::on_demand::cache_files;
use crate::sys::{fiemap, Extent};

/// Bytes of the file system that holds the cache, if it can be that small.
const CACHE: u64 = 64 << 20;

/// Paths and expected contents of the image under fault. The first entry of `names` is the
/// bootstrap.
pub(super) struct Fixture {
    /// Executable of this program, to start daemons from.
    pub(super) program: PathBuf,
    /// Mount point of the cache's file system, the `dir` of the daemon.
    pub(super) cache: PathBuf,
    /// The null_blk device below the cache: its directory in configfs.
    pub(super) disk: PathBuf,
    /// The same device: its directory in sysfs.
    pub(super) block_device: PathBuf,
    /// Directory of the blobs.
    pub(super) blobs: PathBuf,
    /// Mount point of the image.
    pub(super) point: PathBuf,
    /// File names of the bootstrap (first) and of the blobs.
    pub(super) names: Vec<String>,
    /// Module file, to load it again. None: `ondine.ko` in the working directory.
    pub(super) module: Option<PathBuf>,
    /// Expected contents of the image's files.
    pub(super) samples: Arc<Vec<Sample>>,
}

impl Fixture {
    /// Copies the blobs and this program into memory and makes the cache's file system on a
    /// null_blk disk.
    ///
    /// # Errors
    /// A file cannot be copied, or configfs, null_blk or mkfs fails.
    pub(super) fn new(job: &FaultJob) -> Result<Self> {
        let fixture = Self::with_cache(&job.images, &job.names, job.module.clone())?;
        let config = "/sys/kernel/config";
        mount("configfs", config, "configfs", MountFlags::empty(), None).context("configfs")?;
        let size = CACHE.max(job.disk.smallest());
        let name = disk(size >> 20)?;
        let device = Path::new("/dev").join(&name);
        // Without a journal: a bad block in the journal would take down the whole file system.
        let mounted = Mounted::new_disk(job.disk, Journal::Without, &device, &fixture.cache)?;
        // Until the guest powers off.
        std::mem::forget(mounted);
        // Copy the program into memory: drop_caches() would drop its pages, and each daemon would
        // fetch them from the host again.
        let program = Path::new(SCRATCH).join("vmtest");
        fs::copy(&fixture.program, &program).context("a copy of this program")?;
        Ok(Self {
            program,
            disk: Path::new(config).join("nullb/n0"),
            block_device: Path::new("/sys/block").join(&name),
            ..fixture
        })
    }

    /// Creates the fixture without the file system of the cache, which the caller mounts.
    ///
    /// # Errors
    /// An image file cannot be copied.
    pub(super) fn with_cache(
        images: &Path,
        names: &[String],
        module: Option<PathBuf>,
    ) -> Result<Self> {
        let scratch = Path::new(SCRATCH);
        let blobs = scratch.join("blobs");
        fs::create_dir_all(&blobs)?;
        for name in names {
            let from = images.join(name);
            fs::copy(&from, blobs.join(name)).with_context(|| format!("{}", from.display()))?;
        }
        Ok(Self {
            program: std::env::current_exe()?,
            cache: scratch.join("cache"),
            disk: PathBuf::new(),
            block_device: PathBuf::new(),
            blobs,
            point: scratch.join("mounted"),
            names: names.to_vec(),
            module,
            samples: Arc::new(samples()),
        })
    }

    /// Configuration of a daemon without protocol violations.
    pub(super) fn service(&self, latency_us: u64) -> Service {
        Service {
            program: self.program.clone(),
            cache: self.cache.clone(),
            blobs: self.blobs.clone(),
            ledger: Path::new(SCRATCH).join("ledger"),
            latency_us,
            plan: Plan::default(),
        }
    }

    /// Mounts the image with `options` in addition to those of [`Self::options`].
    ///
    /// # Errors
    /// mount(2) fails or does not return.
    pub(super) fn mount(&self, options: &str) -> Result<Mounted> {
        self.try_mount(options)?
            .map_err(|errno| anyhow!("mount: {errno}"))
    }

    /// Mounts the image; the inner result is that of mount(2).
    ///
    /// # Errors
    /// mount(2) does not return.
    pub(super) fn try_mount(&self, options: &str) -> Result<Result<Mounted, Errno>> {
        let (point, options) = (self.point.clone(), self.options(options));
        hang_detector::ended("mount", move || {
            Mounted::plain("ondine", Path::new("none"), &point, &options)
        })?
    }

    /// Mount options that name the bootstrap and the blobs, followed by `more`.
    pub(super) fn options(&self, more: &str) -> String {
        let devices = self.names[1..].iter().map(|name| format!(",device={name}"));
        format!(
            "fsid={}{},{more}",
            self.names[0],
            devices.collect::<String>()
        )
    }

    /// Unmounts the image.
    ///
    /// # Errors
    /// umount(2) fails or does not return.
    pub(super) fn unmount(&self, mounted: Mounted) -> Result<()> {
        let left: Result<(), Errno> = hang_detector::ended("unmount", move || mounted.unmount())?;
        left.map_err(|errno| anyhow!("unmount: {errno}"))
    }

    /// Removes all files of the cache. Needs that no daemon has it bound.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub(super) fn clear(&self) -> Result<()> {
        for name in ["cache", "graveyard"] {
            match fs::remove_dir_all(self.cache.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context("clearing the cache")
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Allocates the blocks of all cache files without filling them. Returns their extents, in 4
    /// KiB blocks of the disk.
    ///
    /// A fault in these blocks hits only data of cache files. If it hit ext4 metadata (an extent
    /// tree node), the file system would stay corrupted after the fault has ended.
    ///
    /// # Errors
    /// A system call fails, or after a long time a cache file still has size 0.
    pub(super) fn allocate(&self) -> Result<Vec<Range<u64>>> {
        let mut extents = Vec::new();
        // mount(2) returns before the blobs are open.
        let open = || {
            let files = cache_files::files(&self.cache.join("cache")).unwrap_or_default();
            let sized = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
            files.len() == self.names.len() && files.iter().all(sized)
        };
        hang_detector::until("bootstrap and blobs are open", open)?;
        for path in cache_files::files(&self.cache.join("cache"))? {
            let file = OpenOptions::new().write(true).open(path)?;
            let len = file.metadata()?.len();
            fallocate(&file, FallocateFlags::KEEP_SIZE, 0, len).context("fallocate")?;
            rustix::fs::fsync(&file)?;
            let range =
                |extent: &Extent| extent.physical / 4096..(extent.physical + extent.length) / 4096;
            let found = fiemap(&file, 0, u64::MAX).context("FIEMAP")?;
            extents.extend(found.iter().map(range));
        }
        Ok(extents)
    }

    /// Returns the size of bootstrap and blobs together.
    pub(super) fn bytes(&self) -> Result<u64> {
        let size = |name: &String| Ok(fs::metadata(self.blobs.join(name))?.len());
        self.names.iter().map(size).sum()
    }
}

/// Mounts the file system `fs` of `device` at `point` until the guest powers off.
///
/// # Errors
/// mount(2) fails.
pub(super) fn attach(fs: DiskFs, device: &Path, point: &Path) -> Result<()> {
    std::mem::forget(Mounted::disk(fs, device, point)?);
    Ok(())
}
