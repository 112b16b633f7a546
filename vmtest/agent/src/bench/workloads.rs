// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Workloads of the benchmarks.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, ensure, Context, Result};
use rustix::fs::{openat, readlinkat_raw, statat, AtFlags, FileType, Mode, OFlags, RawDir, CWD};
use vmtest_wire::bench::{MountedData, Workload, BLOB_READS};

use super::ramdisk::tar;
use crate::sys;

/// Runs `work` once on the tree or file of kind `form` at `path`.
pub(super) fn run(work: Workload, form: MountedData, path: &Path) -> Result<()> {
    match work {
        Workload::TarNames => tar_names(path),
        Workload::Find => find(path),
        Workload::Walk => walk(path),
        Workload::TarData => tar_data(path),
        Workload::MapTree => map_all(path),
        Workload::ReadAndMapTree => {
            tar_data(path)?;
            map_all(path)?;
            tar_data(path)
        }
        Workload::Sequential if form == MountedData::BlobFile => sequential(path, BLOB_SIZE),
        Workload::Sequential => sequential(path, SIZE),
        Workload::Random if form == MountedData::BlobFile => scattered(path),
        Workload::Random => random(path),
        Workload::MapFile => sys::touch(path, BLOB_SIZE as usize),
    }
}

/// Archives names and inodes alone: GNU tar does not read file data when it writes to /dev/null.
fn tar_names(path: &Path) -> Result<()> {
    let mut tar = tar();
    ended(tar.args(["-cf", "/dev/null", "-C"]).arg(path).arg("."))
}

fn find(path: &Path) -> Result<()> {
    let mut find = Command::new("find");
    find.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC0");
    ended(find.arg(path).arg("-ls").stdout(Stdio::null()))
}

/// Runs `command` and fails if it does. Standard error is discarded: tar warns of each socket.
fn ended(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Archives the tree into a pipe: reads all data of all files.
fn tar_data(path: &Path) -> Result<()> {
    let mut child = tar()
        .args(["-cf", "-", "-C"])
        .arg(path)
        .arg(".")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut pipe = child.stdout.take().context("tar's output")?;
    let mut buffer = vec![0; 64 << 10];
    while pipe.read(&mut buffer)? > 0 {}
    let status = child.wait()?;
    ensure!(status.success(), "tar ended with {status}");
    Ok(())
}

/// Reads every directory, looks up every entry and reads every symbolic link, as tar does, but
/// without a child process.
fn walk(path: &Path) -> Result<()> {
    let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, path, directory, Mode::empty())?;
    walk_in(root.as_fd(), directory, &|_, _| Ok(()))
}

/// Maps every file and touches each of its pages, as the start of a program does.
fn map_all(path: &Path) -> Result<()> {
    let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, path, directory, Mode::empty())?;
    walk_in(root.as_fd(), directory, &|dir, name| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(dir, name, flags, Mode::empty())?);
        let length = file.metadata()?.len();
        sys::touch_all(&file, length.try_into()?)
    })
}

/// Walks the tree below `dir` and calls `visit` with each regular file's directory and name.
fn walk_in(
    dir: BorrowedFd<'_>,
    flags: OFlags,
    visit: &dyn Fn(BorrowedFd<'_>, &CStr) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 32 << 10];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut text = [MaybeUninit::<u8>::uninit(); 4096];
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = openat(dir, name, flags, Mode::empty())?;
                walk_in(below.as_fd(), flags, visit)?;
            }
            FileType::Symlink => {
                readlinkat_raw(dir, name, &mut text)?;
            }
            FileType::RegularFile => visit(dir, name)?,
            _ => {}
        }
    }
    Ok(())
}

/// Size of the large file in bytes.
const SIZE: u64 = 256 << 20;
/// Number of random reads.
const READS: u32 = 8000;

/// Size in bytes of the file that is measured on demand.
const BLOB_SIZE: u64 = 64 << 20;

fn sequential(path: &Path, size: u64) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? as u64 {
            0 if total >= size => return Ok(()),
            0 => bail!("the file ends at {total}"),
            count => total += count,
        }
    }
}

/// Reads [`READS`] pseudo-random blocks, the same ones in the same order each time.
fn random(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = [0; 4096];
    let mut state = 12345_u64;
    for _ in 0..READS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        file.read_exact_at(&mut buffer, (state >> 20) % (SIZE / 4096) * 4096)?;
    }
    Ok(())
}

/// Reads [`BLOB_READS`] distinct pages in a pseudo-random order, the same one each time.
fn scattered(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = [0; 4096];
    for page in pages(BLOB_SIZE / 4096).take(BLOB_READS as usize) {
        file.read_exact_at(&mut buffer, page * 4096)?;
    }
    Ok(())
}

/// Permutation of all numbers below `count`, a power of two, that has few neighbours in sequence.
fn pages(count: u64) -> impl Iterator<Item = u64> {
    // An odd increment, and a multiplier that is 1 modulo 4: the period is the modulus.
    let next = move |n: &u64| Some((n * 6_069 + 12_345) % count);
    std::iter::successors(Some(7 % count), next).take(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_comes_once_and_few_follow_their_neighbour() {
        let all: Vec<u64> = pages(BLOB_SIZE / 4096).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..BLOB_SIZE / 4096));
        let near = all.windows(2).filter(|w| w[0].abs_diff(w[1]) < 64);
        assert!(near.count() < 200);
    }
}
