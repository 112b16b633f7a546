// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A guest that fills its cache until its power is cut, after it has looked at what the last cut
//! left.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::daemon::{bytes, Daemon};
use super::ground::{attach, Ground};
use super::readers::Crowd;
use super::watch;

/// The order of `vmtest guest fill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PowerJob {
    /// The disk with the cache, an ext4.
    pub(crate) disk: PathBuf,
    /// The file to make when the power is to be cut; none: there is no filling.
    pub(crate) sign: Option<PathBuf>,
    /// Decides what is read in which order, and the moment of the cut.
    pub(crate) seed: u64,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) images: PathBuf,
    /// As in [`FaultJob`](super::FaultJob).
    pub(crate) names: Vec<String>,
}

/// Longest time of a fetch in microseconds: filling takes a second or two.
const LATENCY_US: u64 = 200_000;
/// Longest time between two syncs in milliseconds.
const SYNC_MS: u64 = 200;

/// Compares all that the image gives on top of the cache as it is; then fills an empty one until
/// the power goes, at a random moment of that. Says `kept N`, the bytes that the cache had.
///
/// # Errors
/// Wrong bytes, above all.
pub(crate) fn fill(job: &PowerJob) -> Result<()> {
    let ground = Ground::with_cache(&job.images, &job.names, None)?;
    attach(&job.disk.display().to_string(), &ground.cache)?;
    let fetched = read_all(&ground, job.seed).context("after a power cut")?;
    eprintln!("kept {}", ground.bytes()?.saturating_sub(fetched));
    let Some(sign) = &job.sign else {
        return Ok(());
    };
    ground.clear()?;
    // What the last cut left is gone from the disk, too.
    rustix::fs::sync();
    // Without it the file system's journal would not know of the files for seconds.
    thread::spawn(|| loop {
        thread::sleep(Duration::from_millis(fastrand::u64(..SYNC_MS)));
        rustix::fs::sync();
    });
    let moment = fastrand::Rng::with_seed(job.seed).u64(0..ground.bytes()?);
    let daemon = Daemon::start(&ground.service(LATENCY_US))?;
    let _mounted = ground.mount("soft")?;
    let crowd = Crowd::start(&ground.point, &ground.samples, job.seed)?;
    let now = || daemon.began() >= moment || crowd.is_idle() || crowd.is_wrong();
    watch::until("the daemon fetches", now)?;
    fs::write(sign, "")?;
    crowd.finish()?;
    // All of it is there, and the power goes soon.
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Has a crowd read everything; how many bytes had to be fetched.
fn read_all(ground: &Ground, seed: u64) -> Result<u64> {
    let daemon = Daemon::start(&ground.service(0))?;
    let mounted = ground.mount("soft")?;
    Crowd::start(&ground.point, &ground.samples, seed)?.finish()?;
    ground.unmount(mounted)?;
    Ok(bytes(&daemon.kill()?))
}
