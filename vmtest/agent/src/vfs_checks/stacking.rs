// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of mounts on top of the mount, and of several mounts of one image.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use rustix::mount::{mount_bind, unmount, MountFlags, UnmountFlags};

use super::{gives, same, Check, Site, STORE};
use crate::mounts::Mounted;

pub(super) const CHECKS: &[Check] = &[
    ("a bind mount shows the same", bind),
    ("overlayfs reads through and copies up", overlay),
    ("an open file keeps the mount busy", busy),
    ("a detached mount serves its open files", detached),
    ("two mounts of one image agree", twice),
];

fn bind(site: &Site<'_>) -> Result<()> {
    let point = Path::new("/run/ondine/bind");
    fs::create_dir_all(point)?;
    mount_bind(site.path("sizes"), point).map_err(std::io::Error::from)?;
    let seen = fs::read(point.join("4097"));
    unmount(point, UnmountFlags::empty()).map_err(std::io::Error::from)?;
    same("through the bind mount", &seen?, &Site::sized(4097).1)
}

fn overlay(site: &Site<'_>) -> Result<()> {
    let base = Path::new(STORE).join("overlay");
    if base.exists() {
        fs::remove_dir_all(&base)?;
    }
    for dir in ["upper", "work"] {
        fs::create_dir_all(base.join(dir))?;
    }
    let options = format!(
        "lowerdir={},upperdir={base}/upper,workdir={base}/work",
        site.root.display(),
        base = base.display()
    );
    let point = Path::new("/run/ondine/overlay");
    let merged = Mounted::with(
        "overlay",
        Path::new("overlay"),
        point,
        &options,
        MountFlags::empty(),
    )?
    .map_err(|errno| anyhow::anyhow!("mounting overlayfs: {errno}"))?;
    let (name, mut wanted) = Site::sized(65537);
    let path = merged.point.join(&name);
    same("through overlayfs", &fs::read(&path)?, &wanted)?;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .context("copy-up")?;
    file.write_all(b"more")?;
    drop(file);
    wanted.extend_from_slice(b"more");
    same("after copy-up", &fs::read(&path)?, &wanted)?;
    same(
        "below overlayfs",
        &fs::read(site.path(&name))?,
        &Site::sized(65537).1,
    )?;
    fs::remove_file(merged.point.join("empty"))?;
    fs::rename(merged.point.join("sizes/512"), merged.point.join("moved"))?;
    same(
        "renamed",
        &fs::read(merged.point.join("moved"))?,
        &Site::sized(512).1,
    )?;
    ensure!(
        !merged.point.join("empty").exists(),
        "a removed file still exists"
    );
    let count = fs::read_dir(merged.point.join("many"))?.count();
    ensure!(count == 1500, "{count} entries of 1500 through overlayfs");
    let mut value = [0; 100];
    let used = rustix::fs::lgetxattr(
        merged.point.join("attributes/user"),
        "user.comment",
        &mut value[..],
    )
    .map_err(std::io::Error::from)?;
    same("an attribute through overlayfs", &value[..used], b"a word")?;
    let left = merged.unmount();
    ensure!(left.is_ok(), "unmounting overlayfs: {left:?}");
    Ok(())
}

fn busy(site: &Site<'_>) -> Result<()> {
    let file = site.open("sizes/4097")?;
    let result = unmount(site.root, UnmountFlags::empty()).map_err(std::io::Error::from);
    gives("unmount", libc::EBUSY, result)?;
    drop(file);
    Ok(())
}

fn detached(site: &Site<'_>) -> Result<()> {
    let point = Path::new("/run/ondine/detached");
    let second = Mounted::image(site.row, site.observer, point)?
        .map_err(|errno| anyhow::anyhow!("the second mount: {errno}"))?;
    let (name, wanted) = Site::sized(1_048_577);
    let file = fs::File::open(second.point.join(&name))?;
    // Dropping the guard detaches the mount (MNT_DETACH).
    drop(second);
    crate::mounts::drop_caches()?;
    let mut seen = vec![0; wanted.len()];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut seen, 0)?;
    same("after the detach", &seen, &wanted)
}

fn twice(site: &Site<'_>) -> Result<()> {
    let point = Path::new("/run/ondine/twice");
    let second = Mounted::image(site.row, site.observer, point)?
        .map_err(|errno| anyhow::anyhow!("the second mount: {errno}"))?;
    for size in [511, 4097, 65537] {
        let (name, wanted) = Site::sized(size);
        same("first mount", &fs::read(site.path(&name))?, &wanted)?;
        same(
            "second mount",
            &fs::read(second.point.join(&name))?,
            &wanted,
        )?;
    }
    ensure!(
        second.unmount().is_ok(),
        "the second mount does not unmount"
    );
    Ok(())
}
