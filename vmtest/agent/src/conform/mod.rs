// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Execution of protocol scenarios against the cachefiles device of this guest.
//!
//! Each actor of a scenario is a separate process ([`worker`]): it can block without blocking
//! others, and be killed together with its descriptors. The executor ([`play`]) sends operations to
//! the actors and watches them. It never uses the device itself, so that it cannot block.

mod actor;
mod idle;
mod play;
mod worker;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vmtest_wire::conform::job::{ConformJob, Line, Surroundings};

use super::mounts::Mounted;

pub(super) use actor::NAME as ACTOR;
pub(super) use worker::main as act;

/// Mount point of the drive with the caches; `$drive` in scenarios.
const DRIVE: &str = "/run/ondine/drive";

/// Directory of the scenarios' mount points; `$mnt`.
const MOUNTS: &str = "/run/ondine/mnt";

/// Executes the parts of the job until one leaves the guest unusable, or none is left.
///
/// # Errors
/// A failure outside of the scenarios, such as of the drive or the results file.
pub(super) fn run(job: &ConformJob) -> Result<()> {
    fs::create_dir_all(MOUNTS)?;
    let _drive = Mounted::disk(job.disk, &job.drive, Path::new(DRIVE))?;
    let mut results = OpenOptions::new().append(true).open(&job.results)?;
    let mut tell = |line: &Line| -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        results.write_all(&text).context("writing the results")
    };
    // Copies in guest memory: files of the host are slow to read when the host is busy.
    let place = Surroundings {
        cache: Path::new(DRIVE).join("cache"),
        blobs: copy(&job.place.blobs, "/run/ondine/blobs")?,
        tree: copy(&job.place.tree, "/run/ondine/tree")?,
        ..job.place.clone()
    };
    for part in &job.parts {
        tell(&Line::Begun(part.name.clone()))?;
        let (played, left) = play::play(part, &place)?;
        tell(&played)?;
        if let Err(why) = left {
            return tell(&Line::Spoiled(why));
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &str) -> Result<PathBuf> {
    let to = PathBuf::from(to);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &there.to_string_lossy())?;
        } else {
            fs::copy(entry.path(), there)?;
        }
    }
    Ok(to)
}
