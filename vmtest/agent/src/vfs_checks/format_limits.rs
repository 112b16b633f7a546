// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of images at the limits of the format, and of sources given as descriptors, on ondine
//! alone. The mainline driver reads the superblock from one page only, although it may extend into
//! the next, and supports neither `device=` as a descriptor nor direct I/O of its source.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{anyhow, ensure, Context, Result};
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, mount_remount,
    move_mount, FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags,
    UnmountFlags,
};
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::{mount, Handmade, Inode, DRIVER, POINT};
use super::{gives, mount_errors, same, statfs_fiemap_handles, Site, STORE};
use crate::kernel_log::KernelLog;
use crate::mounts::{LoopDevice, Mounted};

type Check = (&'static str, fn(&VfsCheckJob) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[
    ("the last page of the longest file is read", longest),
    (
        "an image in 512-byte blocks begins in a page's last block",
        late,
    ),
    ("a descriptor that cannot be read is no device", unreadable),
    (
        "a source opened with O_DIRECT is read at any size",
        direct_source,
    ),
    (
        "a descriptor is shown by its path, and is the only source",
        shown_source,
    ),
    (
        "what a remount cannot change is EINVAL, by name",
        remount_fixed,
    ),
];

/// Largest possible size of a file.
const LONGEST: u64 = i64::MAX as u64;
/// Time limit for a read of a few bytes, under emulation.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `work` in a thread, which is abandoned if it does not end within [`LIMIT`].
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    let done = receiver.recv_timeout(LIMIT);
    done.with_context(|| format!("{what} did not end within {} s", LIMIT.as_secs()))
}

/// Reads the end of two files of 2^63 - 1 bytes: one is a hole, the other has an inline tail of
/// 4095 bytes. The hole also serves as the metabox, so the last inode in it is all zeros.
fn longest(_: &VfsCheckJob) -> Result<()> {
    const HOLE: usize = 2560;
    const TAIL: usize = 8192 - 64;
    let last_page = LONGEST - 4095;
    let entries = [
        ("boxed", (1 << 63) | (last_page / 32)),
        ("hole", Handmade::nid(HOLE)),
        ("tail", Handmade::nid(TAIL)),
    ];
    let mut image = Handmade::new(12, &entries);
    // One extension slot of the superblock, the feature METABOX, and the nid of its inode.
    image.put(1024 + 13, &[1]);
    image.put(1024 + 80, &0x100u32.to_le_bytes());
    image.put(1024 + 128, &Handmade::nid(HOLE).to_le_bytes());
    let file = |layout| Inode {
        layout,
        mode: 0o100_644,
        size: LONGEST,
        start: Handmade::HOLE,
    };
    image.inode(HOLE, &file(Handmade::PLAIN));
    image.inode(TAIL, &file(Handmade::INLINE));
    let pattern: Vec<u8> = (0..4095).map(|n| (n % 251) as u8).collect();
    image.put(8192, &pattern);
    let path = format!("{STORE}/longest");
    fs::write(&path, &image.0)?;
    let device = LoopDevice::on(Path::new(&path))?;
    for source in [path.as_str(), &device.path] {
        let mounted = mount(source, "")?;
        for (name, wanted) in [("hole", vec![0; 4095]), ("tail", pattern.clone())] {
            let file = File::open(mounted.point.join(name))?;
            let seen = in_time(&format!("reading {name} on {source}"), move || {
                rustix::fs::fadvise(&file, last_page, None, rustix::fs::Advice::WillNeed)?;
                let mut seen = vec![7; 4095];
                let count = file.read_at(&mut seen, last_page)?;
                seen.truncate(count);
                io::Result::Ok(seen)
            })??;
            same(name, &seen, &wanted)?;
        }
        let boxed = mounted.point.join("boxed");
        let told = in_time("an inode in the metabox' last page", || {
            fs::symlink_metadata(boxed)
        })?;
        gives("stat of an inode of zeros", libc::EUCLEAN, told)?;
        ensure!(mounted.unmount().is_ok(), "{source} does not unmount");
    }
    Ok(())
}

/// Mounts an image with blocks of 512 bytes that begins at the last such block of a page, so that
/// the superblock is in the next page.
fn late(_: &VfsCheckJob) -> Result<()> {
    for offset in [512, 3072, 3584] {
        let mut file = vec![0; offset];
        file.extend(Handmade::new(9, &[("self", Handmade::nid(Handmade::ROOT))]).0);
        let path = format!("{STORE}/late");
        fs::write(&path, &file)?;
        let device = LoopDevice::on(Path::new(&path))?;
        for source in [path.as_str(), &device.path] {
            let mounted = mount(source, &format!("fsoffset={offset}"))?;
            let names: Vec<_> = fs::read_dir(&mounted.point)?
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<_>>()?;
            ensure!(names == ["self"], "{source} at {offset} has {names:?}");
            ensure!(mounted.unmount().is_ok(), "{source} does not unmount");
        }
    }
    Ok(())
}

/// Opens `path` for reading with the flags `flags` of open(2).
fn open(path: &str, flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options.open(path).with_context(|| path.to_owned())
}

/// Passes descriptors that must be refused, and released at once: while the fs context exists,
/// nothing may hold their file systems or the loop device.
fn unreadable(job: &VfsCheckJob) -> Result<()> {
    let row = mount_errors::with_blob(job)?;
    let context = fsopen(DRIVER, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let memory = Mounted::with(
        "tmpfs",
        Path::new("none"),
        Path::new("/run/ondine/memory"),
        "",
        MountFlags::empty(),
    )?
    .map_err(|errno| anyhow!("mounting tmpfs: {errno}"))?;
    let blob = memory.point.join("blob").display().to_string();
    fs::copy(&row.devices[0], &blob)?;
    let device = LoopDevice::on(Path::new(&blob))?;
    for path in [&device.path, &blob] {
        let place = open(path, libc::O_PATH)?;
        for key in ["source", "device"] {
            gives(
                &format!("{key}= of {path}, opened with O_PATH"),
                libc::EBADF,
                fsconfig_set_fd(&context, key, place.as_fd()).map_err(io::Error::from),
            )?;
        }
    }
    let writer = OpenOptions::new().write(true).open(&device.path)?;
    gives(
        "device= of a block device opened for writing",
        libc::EBADF,
        fsconfig_set_fd(&context, "device", writer.as_fd()).map_err(io::Error::from),
    )?;
    drop((writer, device));
    // The final fput of a closed file may happen a little later.
    let mut left = rustix::mount::unmount(&memory.point, UnmountFlags::empty());
    for _ in 0..200 {
        if left != Err(rustix::io::Errno::BUSY) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        left = rustix::mount::unmount(&memory.point, UnmountFlags::empty());
    }
    left.context("unmounting the file system of a refused descriptor")?;
    drop(context);
    Ok(())
}

/// Remounts with each option that is fixed at mount. The C driver ignores them.
fn remount_fixed(job: &VfsCheckJob) -> Result<()> {
    let row = mount_errors::with_blob(job)?;
    let device = format!("device={}", row.devices[0]);
    let mounted = mount(&row.primary, &format!("{device},timeout=9"))?;
    let mut log = KernelLog::from_now()?;
    for (option, name) in [
        ("device=/run/ondine/other", "device="),
        (&*format!("{device},{device}"), "device="),
        ("fsoffset=4096", "fsoffset="),
        ("directio", "directio"),
        ("fsid=other", "fsid="),
        ("domain_id=other", "domain_id="),
        ("hard", "hard or soft"),
        ("timeout=8", "timeout="),
    ] {
        let data = CString::new(option)?;
        let result = mount_remount(&mounted.point, MountFlags::RDONLY, data);
        gives(option, libc::EINVAL, result.map_err(io::Error::from))?;
        log.has(&format!("a remount cannot change {name}"))?;
    }
    for option in [&*device, "soft,timeout=9", "nodirectio,fsoffset=0", "noacl"] {
        let data = CString::new(option)?;
        let result = mount_remount(&mounted.point, MountFlags::RDONLY, data);
        result.map_err(io::Error::from).context(option.to_owned())?;
    }
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}

/// Makes the superblock of `context`, and mounts it.
fn mount_context(context: OwnedFd) -> Result<Mounted> {
    fsconfig_create(&context).context("creating the superblock")?;
    let made = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?;
    fs::create_dir_all(POINT)?;
    move_mount(
        &made,
        "",
        rustix::fs::CWD,
        POINT,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(Mounted::at(Path::new(POINT)))
}

fn shown_source(job: &VfsCheckJob) -> Result<()> {
    let path = &mount_errors::plain(job)?.primary;
    let context = fsopen(DRIVER, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_fd(&context, "source", open(path, 0)?.as_fd())?;
    gives(
        "a second descriptor",
        libc::EINVAL,
        fsconfig_set_fd(&context, "source", open(path, 0)?.as_fd()).map_err(io::Error::from),
    )?;
    gives(
        "a path beside a descriptor",
        libc::EINVAL,
        fsconfig_set_string(&context, "source", path.as_str()).map_err(io::Error::from),
    )?;
    let mounted = mount_context(context)?;
    let (source, _, _) = statfs_fiemap_handles::mount_line(&mounted.point)?;
    ensure!(source == *path, "the source is shown as {source}");
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}

fn direct_source(job: &VfsCheckJob) -> Result<()> {
    let path = mount_errors::copy(&mount_errors::plain(job)?.primary, "direct")?;
    let context = fsopen(DRIVER, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_fd(&context, "source", open(&path, libc::O_DIRECT)?.as_fd())?;
    let mounted = mount_context(context)?;
    let (name, wanted) = Site::sized(65537);
    let file = File::open(mounted.point.join(&name))?;
    for (at, len) in [(1, 1), (513, 4095), (4095, 8193), (65530, 100)] {
        let mut seen = vec![0; len];
        let count = file.read_at(&mut seen, at as u64)?;
        let end = (at + len).min(wanted.len());
        same(
            &format!("{name} {at}+{len}"),
            &seen[..count],
            &wanted[at..end],
        )?;
    }
    same(&name, &fs::read(mounted.point.join(&name))?, &wanted)?;
    drop(file);
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}
