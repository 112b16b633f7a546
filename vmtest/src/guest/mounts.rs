// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mounting images by mount(2) itself: a tool in between may make a loop device unasked.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ondine_model::observation::Errno;
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};

use super::job::{Backing, Observer, Row};
use super::sys;

/// A mounted file system; it is unmounted when dropped, or by [`Mounted::unmount`].
#[derive(Debug)]
pub struct Mounted {
    /// Where.
    pub point: PathBuf,
    done: bool,
}

impl Mounted {
    /// Mounts `row` as `observer` would, on a new directory `point`.
    ///
    /// The outer error is one of the harness (no loop device, no directory); the inner one is the
    /// driver's answer.
    ///
    /// # Errors
    /// See above.
    pub fn image(row: &Row, observer: &Observer, point: &Path) -> Result<Result<Self, Errno>> {
        let mut sources = Vec::new();
        // Held until the mount holds them itself: a loop device goes with its last user.
        let mut loops = Vec::new();
        for file in std::iter::once(&row.primary).chain(&row.devices) {
            match observer.backing {
                Backing::File => sources.push(file.clone()),
                Backing::Loop => {
                    let device = LoopDevice::on(Path::new(file))
                        .with_context(|| format!("a loop device on {file}"))?;
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
        let mounted = Self::plain(
            &observer.fs,
            Path::new(&sources[0]),
            point,
            &options.join(","),
        );
        drop(loops);
        mounted
    }

    /// Mounts `source` read-only with these options, on a new directory `point`.
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

    /// The same with flags of the caller's choice.
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
        fs::create_dir_all(point).with_context(|| format!("cannot make {}", point.display()))?;
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

    /// What somebody else has mounted on `point`.
    pub fn at(point: &Path) -> Self {
        Self {
            point: point.to_owned(),
            done: false,
        }
    }

    /// Unmounts, for good: EBUSY when something still holds the tree.
    ///
    /// # Errors
    /// Those of umount2(2).
    pub fn unmount(mut self) -> Result<(), Errno> {
        self.done = true;
        unmount(&self.point, UnmountFlags::empty())?;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.done {
            // On the way out of an error; the error is what counts.
            let _ = unmount(&self.point, UnmountFlags::DETACH);
        }
    }
}

/// What an on-demand mount calls the blob in `file`: the name of the file in its directory, which is
/// what a daemon serves.
fn cookie(file: &str) -> Result<&str> {
    let name = Path::new(file).file_name().and_then(OsStr::to_str);
    name.with_context(|| format!("{file} is no name of a blob"))
}

/// A read-only loop device, gone when its last user is.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its node.
    pub path: String,
    _open: File,
}

impl LoopDevice {
    /// A new device on `file`.
    ///
    /// # Errors
    /// Those of the ioctls.
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
                // Another thread was quicker.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Forgets everything that the kernel caches: pages, dentries, inodes.
///
/// # Errors
/// When the file cannot be written.
pub fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").context("drop_caches")
}
