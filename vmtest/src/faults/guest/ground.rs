// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What every fault stands on: blobs in memory, a cache on ext4, a place to mount the image.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{anyhow, ensure, Context, Result};
use ondine_model::observation::Errno;
use ondined::plan::Plan;
use rustix::fs::{fallocate, FallocateFlags};
use rustix::mount::{mount, MountFlags};

use super::daemon::Service;
use super::watch;
use super::FaultJob;
use crate::bench::guest::store::disk;
use crate::faults::sample::{samples, Sample};
use crate::guest::mounts::Mounted;
use crate::guest::sys::{fiemap, Extent};
use crate::on_demand::guest::cache_files;
use crate::vm::SCRATCH;

/// Size of the cache's file system in MiB.
const CACHE_MIB: u64 = 64;

/// The ground.
pub(super) struct Ground {
    /// This program: where to start it from.
    pub(super) program: PathBuf,
    /// Directory of the cache.
    pub(super) cache: PathBuf,
    /// The null_blk device below it, in configfs.
    pub(super) disk: PathBuf,
    /// Directory of the blobs.
    pub(super) blobs: PathBuf,
    /// Where the image is mounted.
    pub(super) point: PathBuf,
    /// Names of the bootstrap and the blobs.
    pub(super) names: Vec<String>,
    /// The module's file.
    pub(super) module: Option<PathBuf>,
    /// What the image holds.
    pub(super) samples: Arc<Vec<Sample>>,
}

impl Ground {
    /// Lays it.
    ///
    /// # Errors
    /// When the guest has not what it takes.
    pub(super) fn new(job: &FaultJob) -> Result<Self> {
        let ground = Self::with_cache(&job.images, &job.names, job.module.clone())?;
        let config = "/sys/kernel/config";
        mount("configfs", config, "configfs", MountFlags::empty(), None).context("configfs")?;
        let device = format!("/dev/{}", disk(CACHE_MIB)?);
        // Without a journal: one that meets a bad block gives up the whole file system.
        format(&device, &ground.cache, "^has_journal")?;
        // Dropping caches drops what the host's files have there, and it would have to be fetched
        // anew for each daemon.
        let program = Path::new(SCRATCH).join("vmtest");
        fs::copy(&ground.program, &program).context("a copy of this program")?;
        Ok(Self {
            program,
            disk: Path::new(config).join("nullb/n0"),
            ..ground
        })
    }

    /// Lays all of it but the file system of the cache.
    ///
    /// # Errors
    /// When an image cannot be copied.
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
            blobs,
            point: scratch.join("mounted"),
            names: names.to_vec(),
            module,
            samples: Arc::new(samples()),
        })
    }

    /// A daemon's orders.
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

    /// Mounts the image.
    ///
    /// # Errors
    /// Those of mount(2); a hang.
    pub(super) fn mount(&self, options: &str) -> Result<Mounted> {
        self.try_mount(options)?
            .map_err(|errno| anyhow!("mount: {errno}"))
    }

    /// Mounts the image, if mount(2) does.
    ///
    /// # Errors
    /// A hang.
    pub(super) fn try_mount(&self, options: &str) -> Result<Result<Mounted, Errno>> {
        let (point, options) = (self.point.clone(), self.options(options));
        watch::ended("mount", move || {
            Mounted::plain("ondine", Path::new("none"), &point, &options)
        })?
    }

    /// The options of [`Self::mount`].
    pub(super) fn options(&self, more: &str) -> String {
        let devices = self.names[1..].iter().map(|name| format!(",device={name}"));
        format!(
            "fsid={}{},{more}",
            self.names[0],
            devices.collect::<String>()
        )
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// Those of umount(2); a hang.
    pub(super) fn unmount(&self, mounted: Mounted) -> Result<()> {
        let left: Result<(), Errno> = watch::ended("unmount", move || mounted.unmount())?;
        left.map_err(|errno| anyhow!("unmount: {errno}"))
    }

    /// Forgets all that was fetched.
    ///
    /// # Errors
    /// Those of the file system.
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

    /// Allocates all of the cache's files, which stay as empty as they are; the extents, in 4 KiB
    /// blocks of the disk. They never hold anything but these files' data: a disk that loses a block of
    /// the file system's own (a node of a file's extents) is well again later, the file system is not.
    ///
    /// # Errors
    /// Those of the file system; a file has no size yet after a long time.
    pub(super) fn allocate(&self) -> Result<Vec<Range<u64>>> {
        let mut extents = Vec::new();
        // A mount does not wait until its blobs are open.
        let open = || {
            let files = cache_files(&self.cache.join("cache")).unwrap_or_default();
            let sized = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
            files.len() == self.names.len() && files.iter().all(sized)
        };
        watch::until("bootstrap and blobs are open", open)?;
        for path in cache_files(&self.cache.join("cache"))? {
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

    /// Bytes of bootstrap and blobs.
    pub(super) fn bytes(&self) -> Result<u64> {
        let size = |name: &String| Ok(fs::metadata(self.blobs.join(name))?.len());
        self.names.iter().map(size).sum()
    }
}

/// Makes an ext4 with (`has_journal`) or without (`^has_journal`) a journal on `device`, and mounts
/// it on `point`, for the life of the guest.
///
/// # Errors
/// Those of mkfs.ext4 and mount(2).
pub(super) fn format(device: &str, point: &Path, journal: &str) -> Result<()> {
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-b", "4096", "-m", "0", "-O", journal])
        .arg(device)
        .status()
        .context("mkfs.ext4")?;
    ensure!(made.success(), "mkfs.ext4 {device}: {made}");
    attach(device, point)
}

/// Mounts the ext4 on `device` on `point`, for the life of the guest.
///
/// # Errors
/// Those of mount(2).
pub(super) fn attach(device: &str, point: &Path) -> Result<()> {
    let flags = MountFlags::NOATIME;
    let mounted = Mounted::with("ext4", Path::new(device), point, "", flags)?
        .map_err(|errno| anyhow!("{device} does not mount: {errno}"))?;
    std::mem::forget(mounted);
    Ok(())
}
