// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Disk in memory (null_blk): measurements count the kernel's work, not a device's latency.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rustix::mount::MountFlags;

use crate::mounts::Mounted;
use crate::null_blk;

/// Mount point of the disk's ext4.
pub(super) const STORE: &str = "/store";
/// Mount point of the tmpfs that has a copy of the tree.
pub(super) const MEMORY: &str = "/memory";

/// The disk, mounted until this is dropped.
pub(super) struct Ramdisk {
    statistics: String,
    _mounted: Mounted,
}

impl Ramdisk {
    /// Creates a disk with the contents of the block device `drive`, and mounts it.
    pub(super) fn fill(drive: &str) -> Result<Self> {
        let mut from = File::open(drive).with_context(|| drive.to_owned())?;
        let bytes = from.seek(SeekFrom::End(0))?;
        from.rewind()?;
        let name = null_blk::disk(bytes.div_ceil(1 << 20))?;
        let device = format!("/dev/{name}");
        let to = fs::OpenOptions::new().write(true).open(&device)?;
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < bytes {
            let count = from.read(&mut buffer)?;
            ensure!(count > 0, "{drive} ends at {at}");
            // Unwritten blocks of null_blk read as zeros.
            if buffer[..count].iter().any(|b| *b != 0) {
                to.write_all_at(&buffer[..count], at)?;
            }
            at += count as u64;
        }
        to.sync_all()?;
        drop((from, to));
        let mounted = Mounted::needed(
            "ext4",
            Path::new(&device),
            Path::new(STORE),
            "",
            MountFlags::NOATIME,
        )?;
        Ok(Self {
            statistics: format!("/sys/block/{name}/stat"),
            _mounted: mounted,
        })
    }

    /// Copies the tree to a new tmpfs at [`MEMORY`].
    pub(super) fn copy_tree(&self) -> Result<()> {
        let flags = MountFlags::NOATIME;
        let mounted = Mounted::needed("tmpfs", Path::new("tree"), Path::new(MEMORY), "", flags)?;
        // It stays mounted until the guest powers off.
        std::mem::forget(mounted);
        let mut pack = tar()
            .args(["-cf", "-", "-C", &format!("{STORE}/native"), "."])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let unpacked = tar()
            .args(["-xpf", "-", "-C", MEMORY])
            .stdin(pack.stdout.take().context("tar's output")?)
            // tar warns of implausible time stamps in the tree.
            .stderr(std::process::Stdio::null())
            .status()?;
        let packed = pack.wait()?;
        ensure!(
            packed.success() && unpacked.success(),
            "copying the tree to tmpfs: {packed}, {unpacked}"
        );
        Ok(())
    }

    /// Returns the number of read requests that the disk has completed, and their size in bytes.
    pub(super) fn reads(&self) -> Result<(u64, u64)> {
        let stat = fs::read_to_string(&self.statistics).context("the disk's statistics")?;
        let mut numbers = stat.split_whitespace().map(str::parse::<u64>);
        let mut next = || {
            Ok::<_, anyhow::Error>(
                numbers
                    .next()
                    .context("the disk's statistics have too few numbers")??,
            )
        };
        let (requests, _merged, sectors) = (next()?, next()?, next()?);
        Ok((requests, sectors * 512))
    }
}

/// Command for `tar` inside the chroot, with a fixed environment.
pub(super) fn tar() -> Command {
    let mut tar = Command::new("tar");
    tar.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC0");
    tar
}
