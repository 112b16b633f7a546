// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the file system tells about itself.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use anyhow::{ensure, Context, Result};
use rustix::fs::{fstatvfs, statfs, StatVfsMountFlags};

use super::{gives, same, Check, Site};
use crate::guest::job::Backing;
use crate::guest::{mounts, sys};

pub(super) const CHECKS: &[Check] = &[
    ("statfs", file_system),
    ("label and UUID", identity),
    (
        "the mount table names type, source and devices",
        mount_table,
    ),
    ("a directory in /sys/fs while mounted", in_sysfs),
    ("FIEMAP covers the data, in order", extents),
    ("FIEMAP tells where the bytes are", placement),
    ("a file handle survives its inode's eviction", handles),
    ("a handle of nothing is stale", stale),
    ("inode numbers and times hold across eviction", eviction),
];

fn file_system(site: &Site<'_>) -> Result<()> {
    let told = statfs(site.root).map_err(std::io::Error::from)?;
    ensure!(told.f_type == 0xe0f5_e1e2, "type {:#x}", told.f_type);
    ensure!(told.f_namelen == 255, "names of {} bytes", told.f_namelen);
    ensure!(
        told.f_blocks > 0 && told.f_bfree == 0 && told.f_bavail == 0,
        "blocks"
    );
    ensure!(told.f_files > 1500, "{} inodes", told.f_files);
    let flags = fstatvfs(site.open("empty")?)
        .map_err(std::io::Error::from)?
        .f_flag;
    ensure!(flags.contains(StatVfsMountFlags::RDONLY), "not read-only");
    Ok(())
}

fn identity(site: &Site<'_>) -> Result<()> {
    let root = site.open("")?;
    same(
        "label",
        &sys::label(&root).context("FS_IOC_GETFSLABEL")?,
        b"ondine",
    )?;
    let uuid = sys::uuid(&root).context("FS_IOC_GETFSUUID")?;
    let wanted: Vec<u8> = (0..16).map(|n| n * 0x11).collect();
    same("UUID", &uuid, &wanted)
}

fn mount_table(site: &Site<'_>) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let point = site.root.display().to_string();
    let line = table
        .lines()
        .find(|l| l.split(' ').nth(1) == Some(&point))
        .context("the mount is not in the table")?;
    let fields: Vec<&str> = line.split(' ').collect();
    ensure!(fields[2] == site.observer.fs, "type {}", fields[2]);
    let options: Vec<&str> = fields[3].split(',').collect();
    ensure!(options.contains(&"ro"), "options {}", fields[3]);
    if site.observer.backing == Backing::File {
        ensure!(fields[0] == site.row.primary, "source {}", fields[0]);
    }
    Ok(())
}

fn in_sysfs(site: &Site<'_>) -> Result<()> {
    let dir = format!("/sys/fs/{}", site.observer.fs);
    let mounts: Vec<_> = fs::read_dir(&dir)
        .with_context(|| dir.clone())?
        .flatten()
        .filter(|e| e.file_name() != "features")
        .collect();
    ensure!(!mounts.is_empty(), "{dir} has no entry");
    Ok(())
}

fn extents(site: &Site<'_>) -> Result<()> {
    for name in [
        "sizes/1048577",
        "sizes/4097",
        "sparse",
        "repeated",
        "all-hole",
        "empty",
    ] {
        let file = site.open(name)?;
        let size = file.metadata()?.len();
        let found = sys::fiemap(&file, 0, u64::MAX).with_context(|| name.to_owned())?;
        let mut end = 0;
        for extent in &found {
            ensure!(
                extent.length > 0,
                "{name}: an extent of no bytes at {}",
                extent.logical
            );
            ensure!(
                extent.logical >= end,
                "{name}: extents overlap at {}",
                extent.logical
            );
            ensure!(extent.logical < size, "{name}: an extent past the end");
            end = extent.logical + extent.length;
        }
        match found.last() {
            Some(last) if size > 0 => {
                // FIEMAP_EXTENT_LAST
                ensure!(last.flags & 1 != 0, "{name}: the last extent is not marked");
            }
            None if name == "all-hole" || name == "empty" => {}
            _ => anyhow::bail!("{name}: {} extents", found.len()),
        }
        // All that is not covered must read as zeros.
        let bytes = fs::read(site.path(name))?;
        let mut at = 0;
        for (start, stop) in found
            .iter()
            .map(|e| (e.logical, e.logical + e.length))
            .chain([(size, size)])
        {
            let hole = usize::try_from(at)?..usize::try_from(start.min(size))?;
            ensure!(
                hole.is_empty() || bytes[hole].iter().all(|b| *b == 0),
                "{name}: data at {at} is in no extent"
            );
            at = stop;
        }
    }
    Ok(())
}

/// On a single block device the extents' addresses lead to the bytes themselves.
fn placement(site: &Site<'_>) -> Result<()> {
    const UNUSABLE: u32 = 0x2 | 0x4 | 0x8 | 0x80;
    if !site.row.devices.is_empty() {
        return Ok(());
    }
    let device = fs::File::open(&site.row.primary)?;
    let (name, wanted) = Site::sized(1_048_577);
    let mut checked = 0;
    for extent in sys::fiemap(&site.open(&name)?, 0, u64::MAX)? {
        // Delayed, unknown, encoded or encrypted.
        if extent.flags & UNUSABLE != 0 {
            continue;
        }
        let begin = usize::try_from(extent.logical)?;
        let end = (begin + usize::try_from(extent.length)?).min(wanted.len());
        let mut seen = vec![0; end - begin];
        device.read_exact_at(&mut seen, extent.physical)?;
        same(&format!("extent at {begin}"), &seen, &wanted[begin..end])?;
        checked += end - begin;
    }
    ensure!(checked >= 1 << 20, "only {checked} bytes have an address");
    Ok(())
}

fn handles(site: &Site<'_>) -> Result<()> {
    let names = [
        "sizes/4097",
        "sizes/65536",
        "linked-elsewhere",
        "deep/level-0/level-1",
        "many",
    ];
    let mut taken = Vec::new();
    for name in names {
        let file = site.open(name)?;
        taken.push((
            name,
            sys::Handle::of(&file).context("name_to_handle_at")?,
            file.metadata()?.ino(),
        ));
    }
    mounts::drop_caches()?;
    let anchor = site.open("")?;
    for (name, handle, ino) in taken {
        let file = handle
            .open(&anchor)
            .with_context(|| format!("open_by_handle_at of {name}"))?;
        let meta = file.metadata()?;
        ensure!(
            meta.ino() == ino,
            "{name} is inode {} by its handle, was {ino}",
            meta.ino()
        );
        if meta.is_file() {
            let mut seen = vec![0; usize::try_from(meta.len())?];
            file.read_exact_at(&mut seen, 0)?;
            same(name, &seen, &fs::read(site.path(name))?)?;
        }
    }
    Ok(())
}

fn stale(site: &Site<'_>) -> Result<()> {
    let mut handle = sys::Handle::of(&site.open("sizes/4097")?)?;
    handle.spoil();
    gives(
        "open_by_handle_at",
        libc::ESTALE,
        handle.open(&site.open("")?),
    )
}

fn eviction(site: &Site<'_>) -> Result<()> {
    let names = [
        "sizes",
        "sizes/4097",
        "names/link-root",
        "nodes/fifo",
        "empty",
        "sparse",
    ];
    let look = || -> Result<Vec<_>> {
        names
            .iter()
            .map(|name| {
                let meta = site.path(name).symlink_metadata()?;
                let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.atime());
                Ok((meta.ino(), meta.dev(), meta.blocks(), times))
            })
            .collect()
    };
    let before = look()?;
    mounts::drop_caches()?;
    ensure!(
        before == look()?,
        "the same paths have other numbers afterwards"
    );
    for (_, _, _, (mtime, _, ctime, atime)) in before {
        ensure!(mtime == ctime && mtime == atime, "the three times differ");
    }
    Ok(())
}
