// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks that the kernel's log has the reason of each refusal, on ondine alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use ondine_model::observation::Errno;
use rustix::fs::{memfd_create, sendfile, MemfdFlags};
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::{mount, Handmade, Inode, DRIVER, POINT};
use super::{gives, mount_errors, STORE};
use crate::kernel_log::KernelLog;
use crate::mounts::{drop_caches, LoopDevice, Mounted};

type Check = (&'static str, fn(&VfsCheckJob) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[
    ("the log says why a source is refused", sources),
    ("the log says why a device= is refused", devices),
    ("the log says why an image is refused", images),
    (
        "the log says that a mounted image or its data is cut",
        cut_image,
    ),
];

/// Longer than the kernel's rate limit of messages, 5 s, under emulation.
const RATE_LIMIT: Duration = Duration::from_secs(20);

/// Mounts `source`, which must fail with `errno` and a line with `reason` in the log.
fn refused(source: &str, options: &str, errno: Errno, reason: &str) -> Result<()> {
    let what = format!("{source} with {options:?}");
    let mut log = KernelLog::from_now()?;
    match Mounted::plain(DRIVER, Path::new(source), Path::new(POINT), options)? {
        Ok(_) => Err(anyhow!("{what} is mounted")),
        Err(seen) if seen == errno => log.has(reason).context(what),
        Err(seen) => Err(anyhow!("{what}: {seen}, not {errno}")),
    }
}

/// Repeats `try_it` until the log has `reason`, since the kernel limits the rate of such lines.
fn logged(reason: &str, try_it: impl Fn() -> Result<()>) -> Result<()> {
    let mut log = KernelLog::from_now()?;
    let begin = Instant::now();
    loop {
        try_it()?;
        match log.has(reason) {
            Err(error) if begin.elapsed() > RATE_LIMIT => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
            Ok(()) => return Ok(()),
        }
    }
}

fn write(name: &str, image: &Handmade) -> Result<String> {
    let path = format!("{STORE}/{name}");
    fs::write(&path, &image.0)?;
    Ok(path)
}

/// Mounts an overlayfs of two directories, the first of which is `lower`.
fn stacked(lower: &str) -> Result<Mounted> {
    let other = format!("{STORE}/other");
    fs::create_dir_all(&other)?;
    let options = format!("lowerdir={lower}:{other}");
    let point = Path::new("/run/ondine/refusals");
    Mounted::plain("overlay", Path::new("overlay"), point, &options)?
        .map_err(|errno| anyhow!("mounting overlayfs: {errno}"))
}

fn sources(job: &VfsCheckJob) -> Result<()> {
    let short = "image ends before its superblock does";
    let kind = "is neither a regular file nor a block device";
    let empty = format!("{STORE}/empty");
    File::create(&empty)?;
    let sound = write("sound", &Handmade::new(12, &[]))?;
    for (source, options, errno, reason) in [
        (&*empty, "", Errno::EIO, short),
        (&*sound, "fsoffset=1048576", Errno::EIO, short),
        ("/run", "", Errno::EINVAL, kind),
        ("/dev/zero", "", Errno::EINVAL, kind),
    ] {
        refused(source, options, errno, reason)?;
    }
    let sound = LoopDevice::on(Path::new(&sound))?;
    refused(&sound.path, "fsoffset=1048576", Errno::EIO, short)?;
    let long = format!("fsid={}", "k".repeat(300));
    refused(
        "none",
        &long,
        Errno::ENOMEM,
        "fsid= or domain_id= is too long",
    )?;

    let below = format!("{STORE}/below");
    fs::create_dir_all(&below)?;
    fs::copy(&mount_errors::plain(job)?.primary, format!("{below}/image"))?;
    let merged = stacked(&below)?;
    let image = merged.point.join("image").display().to_string();
    refused(&image, "", Errno::ENOTBLK, "is on overlayfs")?;
    ensure!(merged.unmount().is_ok(), "overlayfs does not unmount");
    Ok(())
}

fn devices(job: &VfsCheckJob) -> Result<()> {
    let row = mount_errors::with_blob(job)?;
    let kind = "is neither a regular file nor a block device";
    let mixed = "device= must be a block device if the source is one";
    let absent = "/run/ondine/absent: cannot be opened";
    let primary = LoopDevice::on(Path::new(&row.primary))?;
    let blob = LoopDevice::on(Path::new(&row.devices[0]))?;
    for (source, device, errno, reason) in [
        (&row.primary, "/run", Errno::EINVAL, kind),
        (&row.primary, "/dev/zero", Errno::EINVAL, kind),
        (&row.primary, "/run/ondine/absent", Errno::ENOENT, absent),
        (&row.primary, blob.path.as_str(), Errno::EINVAL, mixed),
        (&primary.path, row.devices[0].as_str(), Errno::EINVAL, mixed),
        (&primary.path, "/run", Errno::EINVAL, mixed),
        (&primary.path, "/run/ondine/absent", Errno::ENOENT, absent),
    ] {
        refused(source, &format!("device={device}"), errno, reason)?;
    }
    Ok(())
}

fn images(_: &VfsCheckJob) -> Result<()> {
    // The feature DEVICE_TABLE, a device, and the highest slot.
    let mut table = Handmade::new(12, &[]);
    table.put(1024 + 80, &8u32.to_le_bytes());
    table.put(1024 + 86, &1u16.to_le_bytes());
    table.put(1024 + 88, &u16::MAX.to_le_bytes());
    let mut root = Handmade::new(12, &[]);
    root.put(1024 + 14, &u16::MAX.to_le_bytes());
    let outside = "metadata lies outside the image";
    let table = write("table", &table)?;
    refused(
        &table,
        "",
        Errno::EIO,
        "the device table of the image cannot be read",
    )?;
    refused(&table, "", Errno::EIO, outside)?;
    let root = write("root", &root)?;
    logged(outside, || {
        let seen = Mounted::plain(DRIVER, Path::new(&root), Path::new(POINT), "")?;
        ensure!(
            seen.as_ref().err() == Some(&Errno::EIO),
            "a root outside the image gives {seen:?}"
        );
        Ok(())
    })
}

/// Truncates a mounted image in front of an inode and of the data of another one.
fn cut_image(_: &VfsCheckJob) -> Result<()> {
    const FILE: usize = 2560;
    const LOST: usize = 12288;
    const SIZE: u64 = 8192;
    let entries = [("file", Handmade::nid(FILE)), ("lost", Handmade::nid(LOST))];
    let mut image = Handmade::new(12, &entries);
    image.inode(
        FILE,
        &Inode {
            layout: Handmade::PLAIN,
            mode: 0o100_644,
            size: 4096,
            start: 2,
        },
    );
    let path = write("cut-image", &image)?;
    let mounted = mount(&path, "")?;
    let file = File::open(mounted.point.join("file"))?;
    OpenOptions::new().write(true).open(&path)?.set_len(SIZE)?;
    drop_caches()?;
    let cut = "the blob ends before the file does";
    logged("metadata lies outside the image", || {
        gives(
            "stat of a lost inode",
            libc::EIO,
            fs::symlink_metadata(mounted.point.join("lost")),
        )
    })?;
    logged(cut, || {
        gives("pread", libc::EIO, file.read_at(&mut [0; 100], 0))
    })?;
    logged(cut, || {
        let copy = memfd_create("copy", MemfdFlags::CLOEXEC)?;
        let sent = sendfile(&copy, &file, Some(&mut 0), 100);
        gives("sendfile", libc::EIO, sent.map_err(io::Error::from))
    })?;
    drop(file);
    ensure!(mounted.unmount().is_ok(), "the image does not unmount");
    Ok(())
}
