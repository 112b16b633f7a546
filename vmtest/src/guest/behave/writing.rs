// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Every attempt to change something.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{ensure, Result};
use rustix::fs::{lsetxattr, XattrFlags};
use rustix::mount::{mount_remount, MountFlags};

use super::{gives, Check, Site};

pub(super) const CHECKS: &[Check] = &[
    ("every change is EROFS", changes),
    ("remount read-only succeeds", remount_ro),
    ("remount read-write leaves it read-only", remount_rw),
    ("access(W_OK) is EROFS, R_OK is not", access),
    ("a fifo and a socket are made but for opening", special),
];

fn changes(site: &Site<'_>) -> Result<()> {
    let file = site.path("sizes/4097");
    let set =
        |path| -> io::Result<()> { Ok(lsetxattr(path, "user.new", b"x", XattrFlags::empty())?) };
    let attempts: [(&str, io::Result<()>); 13] = [
        ("create", File::create(site.path("new")).map(drop)),
        (
            "open for writing",
            OpenOptions::new().write(true).open(&file).map(drop),
        ),
        ("touch", touch(&file)),
        ("unlink", fs::remove_file(&file)),
        ("mkdir", fs::create_dir(site.path("new"))),
        ("rmdir", fs::remove_dir(site.path("empty-directory"))),
        ("rename", fs::rename(&file, site.path("renamed"))),
        ("link", fs::hard_link(&file, site.path("new"))),
        ("symlink", symlink("x", site.path("new"))),
        (
            "chmod",
            fs::set_permissions(&file, fs::metadata(&file)?.permissions()),
        ),
        ("chown", std::os::unix::fs::chown(&file, Some(1), Some(1))),
        ("setxattr", set(&file)),
        (
            "removexattr",
            rustix::fs::lremovexattr(site.path("attributes/user"), "user.comment")
                .map_err(io::Error::from),
        ),
    ];
    for (what, result) in attempts {
        gives(what, libc::EROFS, result)?;
    }
    Ok(())
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

fn remount_rw(site: &Site<'_>) -> Result<()> {
    // Drivers differ in whether they refuse it; none may become writable.
    let _ = mount_remount(site.root, MountFlags::empty(), c"");
    gives("create", libc::EROFS, File::create(site.path("new")))
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
