// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The workloads.

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

use super::map;
use super::store::tar;
use crate::bench::figure::{
    Form, State, MAPPED, MAPPED_FILE, RANDOM, READ_AND_MAPPED, SEQUENTIAL, TAR_DATA,
};

/// A workload.
pub(super) struct Work {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The states it is measured in.
    pub(super) states: &'static [State],
    /// Does it once.
    pub(super) run: fn(&Path) -> Result<()>,
}

const ALL: &[State] = &[State::Warm, State::Names, State::Cold];
const ENDS: &[State] = &[State::Warm, State::Cold];

const TAR: Work = Work {
    name: "tar to /dev/null",
    states: ALL,
    run: tar_names,
};

const TAR_WITH_DATA: Work = Work {
    name: TAR_DATA,
    states: ENDS,
    run: tar_data,
};

const TREE: &[Work] = &[
    TAR,
    Work {
        name: "find -ls",
        states: ALL,
        run: find,
    },
    Work {
        name: "walk",
        states: ALL,
        run: walk,
    },
    TAR_WITH_DATA,
    MAPS,
    TAR_AND_MAPS,
];

const CHUNKED: &[Work] = &[TAR, TAR_WITH_DATA, MAPS, TAR_AND_MAPS];

const MAPS: Work = Work {
    name: MAPPED,
    states: &[State::Cold],
    run: map_all,
};

const TAR_AND_MAPS: Work = Work {
    name: READ_AND_MAPPED,
    states: &[State::Cold],
    run: |path| {
        tar_data(path)?;
        map_all(path)?;
        tar_data(path)
    },
};

const LARGE: &[Work] = &[
    Work {
        name: SEQUENTIAL,
        states: ENDS,
        run: |path| sequential(path, SIZE),
    },
    Work {
        name: RANDOM,
        states: ENDS,
        run: random,
    },
    MAP,
];

const BLOB: &[Work] = &[
    Work {
        name: SEQUENTIAL,
        states: &[State::Cold],
        run: |path| sequential(path, BLOB_SIZE),
    },
    Work {
        name: RANDOM,
        states: &[State::Cold],
        run: scattered,
    },
    MAP,
];

const MAP: Work = Work {
    name: MAPPED_FILE,
    states: &[State::Cold],
    run: |path| map::touch(path, BLOB_SIZE as usize),
};

/// What is done on `form`.
pub(super) fn on(form: Form) -> &'static [Work] {
    match form {
        Form::Tree => TREE,
        Form::ChunkedTree => CHUNKED,
        Form::LargeFile => LARGE,
        Form::BlobFile => BLOB,
    }
}

/// GNU tar does not read what it would write to /dev/null: names and inodes alone.
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

/// What tar says of sockets is not shown.
fn ended(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// As behind a pipe: every byte of every file.
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

/// Every directory read, every entry looked up, every link followed to its text: what tar does,
/// without tar.
fn walk(path: &Path) -> Result<()> {
    let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, path, directory, Mode::empty())?;
    walk_in(root.as_fd(), directory, &|_, _| Ok(()))
}

/// Every file mapped, and each of its pages touched: what starting programs does.
fn map_all(path: &Path) -> Result<()> {
    let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, path, directory, Mode::empty())?;
    walk_in(root.as_fd(), directory, &|dir, name| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(dir, name, flags, Mode::empty())?);
        let length = file.metadata()?.len();
        map::touch_all(&file, length.try_into()?)
    })
}

/// Walks below `dir`, and does `visit` with every regular file and its directory.
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

/// Bytes of the large file.
const SIZE: u64 = 256 << 20;
/// Random reads.
const READS: u32 = 8000;

/// Bytes of the file that is measured on demand.
const BLOB_SIZE: u64 = 64 << 20;
/// Reads of its pages.
pub(in crate::bench) const BLOB_READS: u64 = 4000;

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

/// The same places in the same order each time.
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

/// No page twice, and the same order each time.
fn scattered(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = [0; 4096];
    for page in pages(BLOB_SIZE / 4096).take(BLOB_READS as usize) {
        file.read_exact_at(&mut buffer, page * 4096)?;
    }
    Ok(())
}

/// All numbers below `count`, a power of two, in an order without order.
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
