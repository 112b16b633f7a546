// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A disk in memory, so that what is counted is the kernel's work and no device's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rustix::mount::MountFlags;

use crate::guest::mounts::{drop_caches, Mounted};

const CONFIG: &str = "/sys/kernel/config";

/// The disk, its ext4, and copies of the tree on tmpfs.
pub(super) struct Store {
    mounted: Mounted,
    device: String,
    /// The tree on tmpfs, to be measured.
    pub(super) tmpfs: Mounted,
    /// The tree on another tmpfs: the root directory of the programs that measure. Reading them
    /// from the host would idle the guest, and idle time counts as instructions.
    pub(super) tools: Mounted,
}

impl Store {
    /// A memory-backed disk with the bytes of `drive`.
    pub(super) fn fill(drive: &str) -> Result<Self> {
        let mut from = File::open(drive).with_context(|| drive.to_owned())?;
        let bytes = std::io::Seek::seek(&mut from, std::io::SeekFrom::End(0))?;
        std::io::Seek::rewind(&mut from)?;
        let device = disk(bytes.div_ceil(1 << 20))?;
        let mut to = fs::OpenOptions::new()
            .write(true)
            .open(format!("/dev/{device}"))?;
        let mut buffer = vec![0; 4 << 20];
        loop {
            let count = std::io::Read::read(&mut from, &mut buffer)?;
            if count == 0 {
                break;
            }
            std::io::Write::write_all(&mut to, &buffer[..count])?;
        }
        to.sync_all()?;
        drop((from, to));
        drop_caches()?;
        let point = Path::new("/run/ondine/store");
        let mounted = Mounted::with(
            "ext4",
            Path::new(&format!("/dev/{device}")),
            point,
            "",
            MountFlags::NOATIME,
        )?
        .map_err(|errno| anyhow::anyhow!("the disk in memory does not mount: {errno}"))?;
        let native = mounted.point.join("native/.");
        let tmpfs = copy(&native, Path::new("/run/ondine/tmpfs"))?;
        let tools = copy(&native, Path::new("/run/ondine/tools"))?;
        Ok(Self {
            mounted,
            device,
            tmpfs,
            tools,
        })
    }

    /// A file of the store.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.mounted.point.join(name)
    }

    /// Read requests that the disk was given so far, and their bytes.
    pub(super) fn reads(&self) -> Result<(u64, u64)> {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.device))?;
        let numbers: Vec<u64> = stat
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        ensure!(numbers.len() > 2, "the disk's statistics are {stat:?}");
        Ok((numbers[0], numbers[2] * 512))
    }
}

/// A new tmpfs with what is in `from`.
fn copy(from: &Path, point: &Path) -> Result<Mounted> {
    let source = Path::new("tmpfs");
    let tmpfs = Mounted::with("tmpfs", source, point, "size=80%", MountFlags::NOATIME)?
        .map_err(|errno| anyhow::anyhow!("tmpfs does not mount: {errno}"))?;
    let copied = Command::new("cp")
        .arg("--archive")
        .arg(from)
        .arg(point)
        .status()?;
    ensure!(copied.success(), "copying the tree to tmpfs: {copied}");
    Ok(tmpfs)
}

/// Makes a null block device that keeps what is written to it; its name.
fn disk(megabytes: u64) -> Result<String> {
    if !Path::new(CONFIG).join("nullb").exists() {
        let mounted = Mounted::with(
            "configfs",
            Path::new("configfs"),
            Path::new(CONFIG),
            "",
            MountFlags::empty(),
        )?
        .map_err(|errno| anyhow::anyhow!("configfs does not mount: {errno}"))?;
        // It stays for the life of the guest.
        std::mem::forget(mounted);
    }
    let dir = Path::new(CONFIG).join("nullb/ondine");
    fs::create_dir(&dir).context("the guest's kernel has no null_blk")?;
    let set = |name: &str, value: &str| {
        fs::write(dir.join(name), value).with_context(|| format!("null_blk's {name}"))
    };
    set("size", &(megabytes + 1).to_string())?;
    set("memory_backed", "1")?;
    set("irqmode", "0")?;
    set("blocksize", "4096")?;
    set("power", "1")?;
    let index = fs::read_to_string(dir.join("index"))?;
    // Devices that configfs makes may be named after their directory.
    for name in ["ondine".to_owned(), format!("nullb{}", index.trim())] {
        if Path::new("/sys/block").join(&name).exists() {
            return Ok(name);
        }
    }
    anyhow::bail!("null_blk made no device")
}
