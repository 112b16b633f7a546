// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A guest that fills its cache until its power is cut, after it has looked at what the last cut
//! left.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::daemon::{bytes, Daemon};
use super::ground::{attach, format, Ground};
use super::readers::Crowd;

/// The order of `vmtest guest fill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PowerJob {
    /// The disk with the cache.
    pub(crate) disk: PathBuf,
    /// The disk is blank.
    pub(crate) blank: bool,
    /// Decides what is read in which order.
    pub(crate) seed: u64,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) images: PathBuf,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) names: Vec<String>,
}

/// Longest time of a fetch in microseconds: filling takes about a second.
const LATENCY_US: u64 = 60_000;

/// Compares all that the image gives on top of the cache as it is; then fills an empty one, again
/// and again. Prints `kept N` and `filling`.
///
/// # Errors
/// Wrong bytes, above all.
pub(crate) fn fill(job: &PowerJob) -> Result<()> {
    let ground = Ground::with_cache(&job.images, &job.names, None)?;
    let disk = job.disk.display().to_string();
    if job.blank {
        format(&disk, &ground.cache, "has_journal")?;
    } else {
        attach(&disk, &ground.cache)?;
        let fetched = read_all(&ground, 0, job.seed).context("after a power cut")?;
        println!("kept {}", ground.bytes()?.saturating_sub(fetched));
    }
    for n in 0.. {
        ground.clear()?;
        // What the last cut left is gone from the disk, too.
        rustix::fs::sync();
        println!("filling");
        read_all(&ground, LATENCY_US, job.seed.wrapping_add(n))?;
    }
    Ok(())
}

/// Has a crowd read everything; how many bytes had to be fetched.
fn read_all(ground: &Ground, latency_us: u64, seed: u64) -> Result<u64> {
    let daemon = Daemon::start(&ground.service(latency_us))?;
    let mounted = ground.mount("soft")?;
    Crowd::start(&ground.point, &ground.samples, seed)?.finish()?;
    ground.unmount(mounted)?;
    Ok(bytes(&daemon.kill()?))
}
