// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The files of a cache: what they miss, and making them miss it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{fallocate, seek, FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// Pages in a run that [`halve`] takes or leaves: no multiple of a chunk, of a request or of a large
/// folio ends where a run does.
const RUN: u64 = 7 * 4096;

/// All regular files of the cache in `dir`.
///
/// # Errors
/// When a directory cannot be read.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes that the files of the cache in `dir` have, and bytes that they miss.
///
/// # Errors
/// Those of lseek(2).
pub(super) fn contents(dir: &Path) -> Result<(u64, u64)> {
    let (mut present, mut missing) = (0, 0);
    for path in files(dir)? {
        let file = File::open(&path)?;
        let (len, had) = (file.metadata()?.len(), present);
        let mut at = 0;
        loop {
            let start = match seek(&file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(errno) => return Err(errno.into()),
            };
            at = seek(&file, SeekFrom::Hole(start))?;
            present += at - start;
        }
        missing += len - (present - had);
    }
    Ok((present, missing))
}

/// Takes every other [`RUN`] out of each file of the cache in `dir`, beginning with the second; of a
/// shorter file nothing.
///
/// # Errors
/// Those of fallocate(2).
pub(super) fn halve(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        let file = OpenOptions::new().write(true).open(&path)?;
        let len = file.metadata()?.len();
        for start in (RUN..len).step_by(2 * RUN as usize) {
            punch(&file, start, RUN.min(len - start))?;
        }
    }
    Ok(())
}

/// Takes all bytes out of the cache file at `path`.
///
/// # Errors
/// Those of fallocate(2).
pub(super) fn empty(path: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let len = file.metadata()?.len();
    punch(&file, 0, len)
}

fn punch(file: &File, start: u64, len: u64) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, start, len).context("making a hole in a cache file")
}
