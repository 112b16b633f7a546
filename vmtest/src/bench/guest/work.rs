// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The workloads.

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
use crate::bench::figure::{Form, State};

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

const TAR_DATA: Work = Work {
    name: "tar with data",
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
    TAR_DATA,
];

const CHUNKED: &[Work] = &[TAR, TAR_DATA];

const LARGE: &[Work] = &[
    Work {
        name: "sequential read",
        states: ENDS,
        run: sequential,
    },
    Work {
        name: "random 4 KiB reads",
        states: ENDS,
        run: random,
    },
    Work {
        name: "mmap, first 64 MiB",
        states: &[State::Cold],
        run: |path| map::touch(path, 64 << 20),
    },
];

/// What is done on `form`.
pub(super) fn on(form: Form) -> &'static [Work] {
    match form {
        Form::Tree => TREE,
        Form::ChunkedTree => CHUNKED,
        Form::LargeFile => LARGE,
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
    walk_in(root.as_fd(), directory)
}

fn walk_in(dir: BorrowedFd<'_>, flags: OFlags) -> Result<()> {
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
                walk_in(below.as_fd(), flags)?;
            }
            FileType::Symlink => {
                readlinkat_raw(dir, name, &mut text)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of the large file.
const SIZE: u64 = 256 << 20;
/// Random reads.
const READS: u32 = 8000;

fn sequential(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? as u64 {
            0 if total >= SIZE => return Ok(()),
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
