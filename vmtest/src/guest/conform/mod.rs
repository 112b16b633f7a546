// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Playing scenarios of the on-demand protocol against the device of this guest.
//!
//! Each actor of a scenario is a process of its own ([`worker`]): what blocks it blocks nobody else,
//! and it can be killed with its descriptors. The executor ([`play`]) sends operations and watches
//! the processes; it never touches the device itself, so that it can always tell.

mod actor;
mod idle;
mod play;
mod worker;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::mounts::Mounted;
use crate::conform::step::Step;

pub(super) use worker::main as act;

/// The order of `vmtest guest conform`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ConformJob {
    /// What is there to act on.
    pub(crate) place: Place,
    /// The writable ext4 drive for the caches.
    pub(crate) drive: PathBuf,
    /// Where results go, a line of JSON ([`Line`]) each, as they come.
    pub(crate) results: PathBuf,
    /// The scenarios.
    pub(crate) parts: Vec<Part>,
}

/// What an actor has around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The device.
    pub(crate) device: PathBuf,
    /// The file system type to mount.
    pub(crate) fs: String,
    /// Whole blobs, each under its cookie key.
    pub(crate) blobs: PathBuf,
    /// What every image holds.
    pub(crate) tree: PathBuf,
    /// The scenario's cache directory; the executor says which.
    pub(crate) cache: PathBuf,
}

/// One scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// Its steps.
    pub(crate) steps: Vec<Step>,
}

/// A line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// This scenario begins.
    Begun(String),
    /// It was played to its end: the results of its steps.
    Played { results: Vec<String>, seconds: f64 },
    /// It leaves the guest so that nothing more can be played here.
    Spoiled(String),
}

/// Where the caches' drive is mounted; `$drive` of a scenario.
const DRIVE: &str = "/run/ondine/drive";

/// What scenarios mount is below; `$mnt`.
const MOUNTS: &str = "/run/ondine/mnt";

/// Plays until the guest is spoiled or there is nothing left.
///
/// # Errors
/// When something other than a scenario fails.
pub(super) fn run(job: &ConformJob) -> Result<()> {
    fs::create_dir_all(MOUNTS)?;
    let _drive = Mounted::with(
        "ext4",
        &job.drive,
        Path::new(DRIVE),
        "",
        MountFlags::empty(),
    )?
    .map_err(|errno| anyhow::anyhow!("the writable drive does not mount: {errno}"))?;
    let mut results = OpenOptions::new().append(true).open(&job.results)?;
    let mut tell = |line: &Line| -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        results.write_all(&text).context("writing the results")
    };
    // Out of the host's reach: a file of the host is slow to answer when the host is busy.
    let place = Place {
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
