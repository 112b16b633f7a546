// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks that a mount is read-only.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{symlink, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{anyhow, ensure, Context as _, Result};
use ondine_model::observation::Errno;
use rustix::fs::{lsetxattr, XattrFlags};
use rustix::mount::{mount_remount, MountFlags};

use super::{gives, same, Check, Site};
use crate::mounts::Mounted;
use crate::sys;
use vmtest_wire::image::Backing;

pub(super) const CHECKS: &[Check] = &[
    ("every change is EROFS", changes),
    (
        "every change of a mount without ro is EROFS",
        changes_unasked,
    ),
    ("remount read-only succeeds", remount_ro),
    ("remount read-write leaves it read-only", remount_rw),
    ("access(W_OK) is EROFS, R_OK is not", access),
    ("a fifo and a socket are made but for opening", special),
    ("a read lease is given, told and taken back", leases),
];

/// Samba and NFS servers ask for leases.
fn leases(site: &Site<'_>) -> Result<()> {
    let file = site.open("sizes/4097")?;
    let told = || sys::fcntl(&file, libc::F_GETLEASE, 0);
    for kind in [libc::F_RDLCK, libc::F_UNLCK] {
        sys::fcntl(&file, libc::F_SETLEASE, kind).context("F_SETLEASE")?;
        let seen = told().context("F_GETLEASE")?;
        ensure!(seen == kind, "the lease is {seen}, not {kind}");
    }
    Ok(())
}

fn changes(site: &Site<'_>) -> Result<()> {
    all_refused(site.root)
}

/// Without MS_RDONLY the driver alone makes the mount read-only.
fn changes_unasked(site: &Site<'_>) -> Result<()> {
    let point = Path::new("/run/ondine/unasked");
    let mounted = Mounted::image_with(site.row, site.observer, point, MountFlags::empty())?;
    let mounted = match mounted {
        // Without MS_RDONLY the mainline driver opens the loop device for writing, which fails.
        Err(errno) if is_c(site) && site.observer.backing == Backing::Loop => {
            ensure!(
                errno == Errno::EACCES,
                "the mount without ro fails with {errno}, not EACCES"
            );
            return Ok(());
        }
        mounted => mounted.map_err(|errno| anyhow!("the mount without ro: {errno}"))?,
    };
    all_refused(&mounted.point)?;
    let left = mounted.unmount();
    ensure!(left.is_ok(), "unmounting the mount without ro: {left:?}");
    Ok(())
}

fn is_c(site: &Site<'_>) -> bool {
    site.observer.fs == "erofs"
}

/// Checks that each change of the tree below `root` fails with EROFS, and changes nothing.
fn all_refused(root: &Path) -> Result<()> {
    let (name, wanted) = Site::sized(4097);
    let file = root.join(name);
    let before = numbers(&file)?;
    let set =
        |path| -> io::Result<()> { Ok(lsetxattr(path, "user.new", b"x", XattrFlags::empty())?) };
    let attempts: [(&str, io::Result<()>); 14] = [
        ("create", File::create(root.join("new")).map(drop)),
        (
            "open for writing",
            OpenOptions::new().write(true).open(&file).map(drop),
        ),
        (
            "truncate",
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&file)
                .map(drop),
        ),
        ("touch", touch(&file)),
        ("unlink", fs::remove_file(&file)),
        ("mkdir", fs::create_dir(root.join("new"))),
        ("rmdir", fs::remove_dir(root.join("empty-directory"))),
        ("rename", fs::rename(&file, root.join("renamed"))),
        ("link", fs::hard_link(&file, root.join("new"))),
        ("symlink", symlink("x", root.join("new"))),
        (
            "chmod",
            fs::set_permissions(&file, fs::Permissions::from_mode(0o700)),
        ),
        ("chown", std::os::unix::fs::chown(&file, Some(1), Some(1))),
        ("setxattr", set(&file)),
        (
            "removexattr",
            rustix::fs::lremovexattr(root.join("attributes/user"), "user.comment")
                .map_err(io::Error::from),
        ),
    ];
    for (what, result) in attempts {
        gives(what, libc::EROFS, result)?;
    }
    ensure!(
        numbers(&file)? == before,
        "the file's mode, owner, size or time changed"
    );
    same("the file", &fs::read(&file)?, &wanted)?;
    for name in ["new", "renamed"] {
        ensure!(!root.join(name).exists(), "{name} exists");
    }
    Ok(())
}

/// Returns mode, owner, size and modification time of `file`.
fn numbers(file: &Path) -> io::Result<(u32, u32, u64, i64)> {
    let meta = fs::symlink_metadata(file)?;
    Ok((meta.mode(), meta.uid(), meta.len(), meta.mtime()))
}

fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{utimensat, AtFlags, Timespec, Timestamps, CWD};
    let at = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

fn remount_ro(site: &Site<'_>) -> Result<()> {
    mount_remount(site.root, MountFlags::RDONLY, c"").map_err(io::Error::from)?;
    ensure!(site.path("sizes/4096").exists(), "the tree is gone");
    Ok(())
}

/// Remounts read-write. The VFS refuses that on a read-only block device. Elsewhere it succeeds for
/// the mount, but the superblock must stay read-only.
fn remount_rw(site: &Site<'_>) -> Result<()> {
    let result = mount_remount(site.root, MountFlags::empty(), c"").map_err(io::Error::from);
    match site.observer.backing {
        Backing::Loop => gives("remount read-write of a loop device", libc::EACCES, result)?,
        _ => result.context("remount read-write")?,
    }
    all_refused(site.root)
}

fn access(site: &Site<'_>) -> Result<()> {
    let file = site.path("sizes/4097");
    let may = |access| rustix::fs::access(&file, access).map_err(io::Error::from);
    may(rustix::fs::Access::READ_OK)?;
    gives(
        "access(W_OK)",
        libc::EROFS,
        may(rustix::fs::Access::WRITE_OK),
    )
}

/// Opening a fifo without a writer must not touch the file system; a socket cannot be opened.
fn special(site: &Site<'_>) -> Result<()> {
    use rustix::fs::{openat, Mode, OFlags, CWD};
    let open = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        openat(CWD, site.path(name), flags, Mode::empty()).map_err(io::Error::from)
    };
    open("nodes/fifo")?;
    gives("opening a socket", libc::ENXIO, open("nodes/socket"))?;
    let null = open("nodes/null")?;
    let mut byte = [0; 1];
    ensure!(
        rustix::io::read(&null, &mut byte).map_err(io::Error::from)? == 0,
        "/dev/null has bytes"
    );
    Ok(())
}
