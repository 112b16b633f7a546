// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of statfs, labels, the mount table, sysfs, FIEMAP, file handles and inode numbers.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure, Context, Result};
use rustix::fs::{
    fstatvfs, statfs, statx, AtFlags, StatVfsMountFlags, StatxAttributes, StatxFlags, CWD,
};
use vmtest_wire::image::Backing;

use super::{gives, same, Check, Site};
use crate::mounts::Mounted;
use crate::{mounts, sys};

pub(super) const CHECKS: &[Check] = &[
    ("statfs", file_system),
    (
        "statx tells of immutable files, and of direct I/O on devices",
        attributes,
    ),
    ("label and UUID", identity),
    (
        "the mount table names type, source and options",
        mount_table,
    ),
    ("its directory in /sys/fs comes and goes with it", in_sysfs),
    ("FIEMAP covers the data, in order", extents),
    ("FIEMAP tells where the bytes are", placement),
    (
        "FIBMAP tells blocks of one device, and is EINVAL elsewhere",
        block_map,
    ),
    ("a file handle survives its inode's eviction", handles),
    ("a handle of nothing is stale", stale),
    ("inode numbers and times hold across eviction", eviction),
];

fn file_system(site: &Site<'_>) -> Result<()> {
    let told = statfs(site.root).map_err(std::io::Error::from)?;
    ensure!(told.f_type == 0xe0f5_e1e2, "f_type is {:#x}", told.f_type);
    ensure!(told.f_namelen == 255, "f_namelen is {}", told.f_namelen);
    ensure!(
        told.f_blocks > 0 && told.f_bfree == 0 && told.f_bavail == 0,
        "f_blocks is 0, or f_bfree or f_bavail is not"
    );
    let used = told.f_files.wrapping_sub(told.f_ffree);
    ensure!(
        (1500..1_000_000).contains(&used) && told.f_ffree > used,
        "{used} inodes are used of {}",
        told.f_files
    );
    let flags = fstatvfs(site.open("empty")?)
        .map_err(std::io::Error::from)?
        .f_flag;
    ensure!(flags.contains(StatVfsMountFlags::RDONLY), "not read-only");
    Ok(())
}

fn attributes(site: &Site<'_>) -> Result<()> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN;
    for name in ["sizes/4097", "many", "names/link-root", "nodes/fifo"] {
        let told = statx(CWD, site.path(name), AtFlags::SYMLINK_NOFOLLOW, mask)
            .map_err(std::io::Error::from)?;
        for flag in [StatxAttributes::IMMUTABLE, StatxAttributes::COMPRESSED] {
            ensure!(
                told.stx_attributes_mask.contains(flag),
                "{name}: {flag:?} is not known"
            );
        }
        ensure!(
            told.stx_attributes.contains(StatxAttributes::IMMUTABLE)
                && !told.stx_attributes.contains(StatxAttributes::COMPRESSED),
            "{name} has {:?}",
            told.stx_attributes
        );
        let is_told = told.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let is_file = name == "sizes/4097";
        ensure!(is_told == is_file, "{name}: STATX_DIOALIGN is {is_told}");
        let (memory, offset) = (told.stx_dio_mem_align, told.stx_dio_offset_align);
        let is_aligned = memory.is_power_of_two() && offset.is_power_of_two() && offset >= 512;
        ensure!(
            is_aligned == (is_file && site.observer.backing == Backing::Loop),
            "{name}: alignments of {memory} and {offset}"
        );
    }
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
    let (source, fs, options) = mount_line(site.root)?;
    ensure!(fs == site.observer.fs, "type {fs}");
    for option in ["ro", "user_xattr", "acl"] {
        ensure!(
            options.iter().any(|o| o == option),
            "{option} is not among {options:?}"
        );
    }
    match site.observer.backing {
        Backing::Loop => {
            let number = loop_name(&source)?;
            let behind = fs::read_to_string(format!("/sys/block/{number}/loop/backing_file"))?;
            ensure!(
                behind.trim_end() == site.row.primary,
                "source {source}, which is on {behind}"
            );
        }
        _ => ensure!(source == site.row.primary, "source {source}"),
    }
    Ok(())
}

/// Returns source, type and options of the mount at `point` from `/proc/self/mounts`.
pub(super) fn mount_line(point: &Path) -> Result<(String, String, Vec<String>)> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let point = point.display().to_string();
    let line = table
        .lines()
        .find(|l| l.split(' ').nth(1) == Some(&point))
        .with_context(|| format!("{point} is not in the mount table"))?;
    let fields: Vec<&str> = line.split(' ').collect();
    let options = fields[3].split(',').map(str::to_owned).collect();
    Ok((fields[0].to_owned(), fields[2].to_owned(), options))
}

fn loop_name(source: &str) -> Result<&str> {
    let name = source.strip_prefix("/dev/");
    name.filter(|name| name.starts_with("loop"))
        .with_context(|| format!("source {source} is no loop device"))
}

/// Checks the directory of a second mount, so that the first mount's cannot be mistaken for it.
fn in_sysfs(site: &Site<'_>) -> Result<()> {
    let point = Path::new("/run/ondine/sysfs");
    let second = Mounted::image(site.row, site.observer, point)?
        .map_err(|errno| anyhow!("the second mount: {errno}"))?;
    let dirs = [site.root, point].map(|point| directory(site, point));
    let [first, dir] = dirs;
    let (first, dir) = (first?, dir?);
    ensure!(first != dir, "both mounts have {}", dir.display());
    for dir in [&first, &dir] {
        ensure!(dir.is_dir(), "there is no {}", dir.display());
    }
    if site.observer.fs == "ondine" {
        let devices = (1 + site.row.devices.len()).to_string();
        let source = match site.observer.backing {
            Backing::Loop => "device",
            _ => "file",
        };
        let block_size = statfs(point)?.f_bsize.to_string();
        for (name, wanted) in [
            ("block_size", block_size.as_str()),
            ("devices", &devices),
            ("source", source),
        ] {
            let value = fs::read_to_string(dir.join(name)).context(name)?;
            ensure!(
                value.trim_end() == wanted,
                "{name} is {value:?}, not {wanted}"
            );
        }
    }
    let left = second.unmount();
    ensure!(left.is_ok(), "unmounting the second mount: {left:?}");
    ensure!(!dir.exists(), "{} stays after the unmount", dir.display());
    ensure!(
        first.is_dir(),
        "{} disappears with that of the second mount",
        first.display()
    );
    Ok(())
}

/// Returns the directory in /sys/fs of the mount at `point`.
fn directory(site: &Site<'_>, point: &Path) -> Result<PathBuf> {
    let id = match site.observer.backing {
        Backing::Loop => loop_name(&mount_line(point)?.0)?.to_owned(),
        _ => {
            let device = fs::metadata(point)?.dev();
            format!(
                "{}:{}",
                rustix::fs::major(device),
                rustix::fs::minor(device)
            )
        }
    };
    Ok(Path::new("/sys/fs").join(&site.observer.fs).join(id))
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
        // Data outside of all extents must read as zeros.
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
                "{name}: data after {at} is in no extent"
            );
            at = stop;
        }
    }
    Ok(())
}

/// Checks that the physical addresses of the extents lead to the file's data.
fn placement(site: &Site<'_>) -> Result<()> {
    const UNUSABLE: u32 = 0x2 | 0x4 | 0x8 | 0x80;
    let (name, wanted) = Site::sized(1_048_577);
    let mut checked = 0;
    for extent in sys::fiemap(&site.open(&name)?, 0, u64::MAX)? {
        // Skip extents that are delayed, of unknown location, encoded or encrypted.
        if extent.flags & UNUSABLE != 0 {
            continue;
        }
        let begin = usize::try_from(extent.logical)?;
        let end = (begin + usize::try_from(extent.length)?).min(wanted.len());
        holder(site, extent.physical, &wanted[begin..end])
            .with_context(|| format!("the extent at {begin}"))?;
        checked += end - begin;
    }
    ensure!(
        checked >= 1 << 20,
        "only {checked} bytes are in extents with an address"
    );
    Ok(())
}

/// Maps the second block of a file. The C driver also tells blocks of several devices, but not of
/// which.
fn block_map(site: &Site<'_>) -> Result<()> {
    let (name, wanted) = Site::sized(65537);
    let file = site.open(&name)?;
    let told = sys::fibmap(&file, 1);
    let has_blocks = site.observer.backing == Backing::Loop;
    if !has_blocks || (site.observer.fs == "ondine" && !site.row.devices.is_empty()) {
        return gives("FIBMAP", libc::EINVAL, told);
    }
    let size = statfs(site.root).map_err(std::io::Error::from)?.f_bsize;
    let size = usize::try_from(size)?;
    holder(site, told? * size as u64, &wanted[size..2 * size]).map(drop)
}

/// Returns the file of the image that has `bytes` at `offset`, since FIEMAP does not tell the
/// device of an extent.
pub(super) fn holder(site: &Site<'_>, offset: u64, bytes: &[u8]) -> Result<fs::File> {
    let files = std::iter::once(&site.row.primary).chain(&site.row.devices);
    for path in files {
        let file = fs::File::open(path)?;
        let mut seen = vec![0; bytes.len()];
        if file.read_exact_at(&mut seen, offset).is_ok() && seen == bytes {
            return Ok(file);
        }
    }
    bail!(
        "no device of the image has these {} bytes at {offset}",
        bytes.len()
    )
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
