// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Disks for a guest: file systems in sparse files.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use vmtest_wire::disk::{DiskFs, Journal};

/// Creates the file `disk` of `bytes` bytes, or as many as `fs` needs, with an empty file system.
///
/// # Errors
/// When the file cannot be created or mkfs fails.
pub fn empty(disk: &Path, fs: DiskFs, journal: Journal, bytes: u64) -> Result<()> {
    File::create(disk)?.set_len(bytes.max(fs.smallest()))?;
    run(fs.mkfs(journal).arg(disk))
}

/// Creates the file `disk` of `bytes` bytes with an ext4 that has the contents of the directory
/// `from`.
///
/// # Errors
/// When the file cannot be created or mkfs.ext4 fails.
pub fn filled(disk: &Path, from: &Path, bytes: u64) -> Result<()> {
    File::create(disk)?.set_len(bytes)?;
    let mut mkfs = DiskFs::Ext4.mkfs(Journal::Without);
    run(mkfs.arg("-d").arg(from).arg(disk))
}

fn run(mkfs: &mut Command) -> Result<()> {
    let made = mkfs.output().with_context(|| format!("{mkfs:?}"))?;
    let why = String::from_utf8_lossy(&made.stderr);
    ensure!(
        made.status.success(),
        "{mkfs:?} ended with {}: {}",
        made.status,
        why.trim()
    );
    Ok(())
}
