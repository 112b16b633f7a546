// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mounts through mount(2) itself, since mount(8) may set up a loop device on its own.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure, Context, Result};
use ondine_model::observation::Errno;
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::image::{Backing, Observer, Row};

use super::sys;

/// A mounted file system, unmounted by [`Mounted::unmount`] or when dropped.
#[derive(Debug)]
pub struct Mounted {
    /// Mount point.
    pub point: PathBuf,
    done: bool,
}

impl Mounted {
    /// Mounts `row` as `observer` says at the new directory `point`.
    ///
    /// The outer error is a failure of the harness (no loop device, no directory), the inner one
    /// the errno of the driver.
    ///
    /// # Errors
    /// The harness fails to set up the mount.
    pub fn image(row: &Row, observer: &Observer, point: &Path) -> Result<Result<Self, Errno>> {
        Self::image_with(row, observer, point, MountFlags::RDONLY)
    }

    /// Mounts `row` as [`Mounted::image`] does, with these flags of mount(2).
    ///
    /// # Errors
    /// As [`Mounted::image`].
    pub fn image_with(
        row: &Row,
        observer: &Observer,
        point: &Path,
        flags: MountFlags,
    ) -> Result<Result<Self, Errno>> {
        let mut sources = Vec::new();
        // Held until the mount uses them: an autoclear loop device ends with its last user.
        let mut loops = Vec::new();
        for file in std::iter::once(&row.primary).chain(&row.devices) {
            match observer.backing {
                Backing::File => sources.push(file.clone()),
                Backing::Loop => {
                    let device = LoopDevice::on(Path::new(file))
                        .with_context(|| format!("setting up a loop device on {file}"))?;
                    sources.push(device.path.clone());
                    loops.push(device);
                }
                Backing::Cache(_) => sources.push(cookie(file)?.to_owned()),
            }
        }
        let mut options = row.options.clone();
        options.extend(sources[1..].iter().map(|path| format!("device={path}")));
        if let Backing::Cache(_) = observer.backing {
            options.push(format!("fsid={}", sources[0]));
            sources[0] = "none".to_owned();
        }
        let mounted = Self::with(
            &observer.fs,
            Path::new(&sources[0]),
            point,
            &options.join(","),
            flags,
        );
        drop(loops);
        mounted
    }

    /// Mounts `source` read-only with `options` at the new directory `point`.
    ///
    /// # Errors
    /// As [`Mounted::image`].
    pub fn plain(
        fs: &str,
        source: &Path,
        point: &Path,
        options: &str,
    ) -> Result<Result<Self, Errno>> {
        Self::with(fs, source, point, options, MountFlags::RDONLY)
    }

    /// Mounts as [`Mounted::plain`] does, with the given flags of mount(2).
    ///
    /// # Errors
    /// As [`Mounted::image`].
    pub fn with(
        fs: &str,
        source: &Path,
        point: &Path,
        options: &str,
        flags: MountFlags,
    ) -> Result<Result<Self, Errno>> {
        fs::create_dir_all(point).with_context(|| format!("cannot create {}", point.display()))?;
        let source = CString::new(source.as_os_str().as_bytes())?;
        let data = CString::new(options)?;
        Ok(
            match mount(&source, point, fs, flags, Some(data.as_c_str())) {
                Ok(()) => Ok(Self {
                    point: point.to_owned(),
                    done: false,
                }),
                Err(errno) => Err(errno.into()),
            },
        )
    }

    /// Mounts a file system that the harness needs: an errno of mount(2) is an error.
    ///
    /// # Errors
    /// mount(2) fails.
    pub fn needed(
        fs: &str,
        source: &Path,
        point: &Path,
        options: &str,
        flags: MountFlags,
    ) -> Result<Self> {
        Self::with(fs, source, point, options, flags)?.map_err(|errno| {
            let (source, point) = (source.display(), point.display());
            anyhow!("mounting {fs} ({source}) on {point}: {errno}")
        })
    }

    /// Mounts the file system `fs` on `device` writable at `point`.
    ///
    /// # Errors
    /// mount(2) fails.
    pub fn disk(fs: DiskFs, device: &Path, point: &Path) -> Result<Self> {
        Self::needed(fs.as_str(), device, point, "", MountFlags::NOATIME)
    }

    /// Makes the file system `fs` on `device` and mounts it as [`Mounted::disk`] does.
    ///
    /// # Errors
    /// mkfs or mount(2) fails.
    pub fn new_disk(fs: DiskFs, journal: Journal, device: &Path, point: &Path) -> Result<Self> {
        let mut mkfs = fs.mkfs(journal);
        let made = mkfs.arg(device).status().context("mkfs")?;
        ensure!(made.success(), "{mkfs:?} ended with {made}");
        Self::disk(fs, device, point)
    }

    /// Takes over the existing mount at `point`.
    pub fn at(point: &Path) -> Self {
        Self {
            point: point.to_owned(),
            done: false,
        }
    }

    /// Unmounts. EBUSY if a file of the mount is still in use.
    ///
    /// # Errors
    /// Errors of umount2(2).
    pub fn unmount(mut self) -> Result<(), Errno> {
        self.done = true;
        unmount(&self.point, UnmountFlags::empty())?;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.done {
            // Reached while mounted only after another error, which is the one reported.
            let _ = unmount(&self.point, UnmountFlags::DETACH);
        }
    }
}

/// Returns the cookie of the blob in `file` for an on-demand mount: the file's name without its
/// directory, by which a daemon serves it.
fn cookie(file: &str) -> Result<&str> {
    let name = Path::new(file).file_name().and_then(OsStr::to_str);
    name.with_context(|| format!("{file} is not the path of a blob"))
}

/// A read-only loop device that ends with its last user (autoclear).
#[derive(Debug)]
pub struct LoopDevice {
    /// Device node.
    pub path: String,
    _open: File,
}

impl LoopDevice {
    /// Sets up a new loop device on `file`.
    ///
    /// # Errors
    /// Errors of the loop ioctls.
    pub fn on(file: &Path) -> io::Result<Self> {
        let backing = File::open(file)?;
        let control = File::open("/dev/loop-control")?;
        loop {
            let path = format!("/dev/loop{}", sys::loop_get_free(&control)?);
            let device = File::open(&path)?;
            match sys::loop_configure(&device, &backing) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _open: device,
                    })
                }
                // Another thread has taken the device first.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Drops the kernel's clean caches: pages, dentries, inodes.
///
/// # Errors
/// `/proc/sys/vm/drop_caches` cannot be written.
pub fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").context("drop_caches")
}
