// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A disk in memory: what is counted is the kernel's work, and no device's time.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rustix::mount::MountFlags;

use crate::guest::mounts::Mounted;

/// Where its ext4 is mounted.
pub(super) const STORE: &str = "/store";
/// Where the tree's copy on tmpfs is.
pub(super) const MEMORY: &str = "/memory";

/// The disk, mounted until the guest ends.
pub(super) struct Store {
    statistics: String,
    _mounted: Mounted,
}

impl Store {
    /// A disk with the bytes of `drive`, mounted.
    pub(super) fn fill(drive: &str) -> Result<Self> {
        let mut from = File::open(drive).with_context(|| drive.to_owned())?;
        let bytes = from.seek(SeekFrom::End(0))?;
        from.rewind()?;
        let name = disk(bytes.div_ceil(1 << 20))?;
        let device = format!("/dev/{name}");
        let to = fs::OpenOptions::new().write(true).open(&device)?;
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < bytes {
            let count = from.read(&mut buffer)?;
            ensure!(count > 0, "{drive} ends at {at}");
            // What was never written reads as zeros.
            if buffer[..count].iter().any(|b| *b != 0) {
                to.write_all_at(&buffer[..count], at)?;
            }
            at += count as u64;
        }
        to.sync_all()?;
        drop((from, to));
        let mounted = Mounted::with(
            "ext4",
            Path::new(&device),
            Path::new(STORE),
            "",
            MountFlags::NOATIME,
        )?
        .map_err(|errno| anyhow::anyhow!("the disk in memory does not mount: {errno}"))?;
        Ok(Self {
            statistics: format!("/sys/block/{name}/stat"),
            _mounted: mounted,
        })
    }

    /// Copies the tree to a tmpfs at [`MEMORY`].
    pub(super) fn copy_tree(&self) -> Result<()> {
        let flags = MountFlags::NOATIME;
        let mounted = Mounted::with("tmpfs", Path::new("tree"), Path::new(MEMORY), "", flags)?
            .map_err(|errno| anyhow::anyhow!("tmpfs does not mount: {errno}"))?;
        // It stays for the life of the guest.
        std::mem::forget(mounted);
        let mut pack = tar()
            .args(["-cf", "-", "-C", &format!("{STORE}/native"), "."])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let unpacked = tar()
            .args(["-xpf", "-", "-C", MEMORY])
            .stdin(pack.stdout.take().context("tar's output")?)
            // The tree has time stamps that tar does not believe.
            .stderr(std::process::Stdio::null())
            .status()?;
        let packed = pack.wait()?;
        ensure!(
            packed.success() && unpacked.success(),
            "copying the tree to tmpfs: {packed}, {unpacked}"
        );
        Ok(())
    }

    /// Read requests that the disk was given so far, and their bytes.
    pub(super) fn reads(&self) -> Result<(u64, u64)> {
        let stat = fs::read_to_string(&self.statistics).context("the disk's statistics")?;
        let mut numbers = stat.split_whitespace().map(str::parse::<u64>);
        let mut next = || Ok::<_, anyhow::Error>(numbers.next().context("a short line")??);
        let (requests, _merged, sectors) = (next()?, next()?, next()?);
        Ok((requests, sectors * 512))
    }
}

/// `tar` of the room.
pub(super) fn tar() -> Command {
    let mut tar = Command::new("tar");
    tar.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC0");
    tar
}

/// Makes a null block device that keeps what is written to it; its name.
pub(crate) fn disk(megabytes: u64) -> Result<String> {
    let config = Path::new("/sys/kernel/config/nullb");
    ensure!(
        config.exists(),
        "the guest's kernel has no null_blk (CONFIG_BLK_DEV_NULL_BLK)"
    );
    let known = disks()?;
    let dir = config.join("n0");
    fs::create_dir(&dir).context("a new null_blk device")?;
    for (name, value) in [
        ("size", megabytes.to_string().as_str()),
        ("memory_backed", "1"),
        ("blocksize", "4096"),
        // Requests end where they were begun: no interrupt, no timer.
        ("irqmode", "0"),
        ("submit_queues", "1"),
        ("power", "1"),
    ] {
        fs::write(dir.join(name), value).with_context(|| format!("null_blk's {name}"))?;
    }
    // Kernels differ in how they name a device that configfs made.
    let new = disks()?.into_iter().find(|name| !known.contains(name));
    new.context("null_blk made no device")
}

fn disks() -> Result<Vec<String>> {
    fs::read_dir("/sys/block")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
