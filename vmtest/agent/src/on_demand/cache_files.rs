// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Files of a cache: their present and missing bytes, and ways to punch holes into them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ondined::session::RECORDS;
use rustix::fs::{fallocate, seek, FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// Bytes in a run that [`halve`] removes or keeps. No multiple of a chunk, a request or a large
/// folio ends where a run does.
const RUN: u64 = 7 * 4096;

/// Lists all regular files of the cache in `dir`, but for the daemon's records.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != RECORDS {
                left.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the number of present and of missing bytes in the files of the cache in `dir`.
///
/// # Errors
/// lseek(2) or a directory read fails.
pub(crate) fn contents(dir: &Path) -> Result<(u64, u64)> {
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

/// Punches every second [`RUN`] out of each cache file in `dir`, beginning with the second run.
/// Files of at most one run stay as they are.
///
/// # Errors
/// fallocate(2) fails.
pub(crate) fn halve(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        let file = OpenOptions::new().write(true).open(&path)?;
        let len = file.metadata()?.len();
        for start in (RUN..len).step_by(2 * RUN as usize) {
            punch(&file, start, RUN.min(len - start))?;
        }
    }
    Ok(())
}

/// Removes all data from the cache file at `path`; its size stays.
///
/// # Errors
/// fallocate(2) fails.
pub(crate) fn empty(path: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let len = file.metadata()?.len();
    punch(&file, 0, len)
}

fn punch(file: &File, start: u64, len: u64) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, start, len).context("punching a hole into a cache file")
}
