// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A guest that fills its cache until its power is cut, after it has looked at what the last cut
//! left.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use super::daemon::{bytes, fetched, lost, written, Daemon, Fetch};
use super::ground::{attach, Ground};
use super::kept::read_all;
use super::readers::Crowd;
use super::watch;

/// The order of `vmtest guest fill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PowerJob {
    /// The disk with the cache, an ext4.
    pub(crate) disk: PathBuf,
    /// The file to make when the power is to be cut; none: there is no filling.
    pub(crate) sign: Option<PathBuf>,
    /// The host's file for what a sync has made safe.
    pub(crate) promise: PathBuf,
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

/// Compares all that the image gives on top of the cache as it is, which must have what the last
/// guest promised; then fills an empty one until the power goes, at a random moment of that. Says
/// `kept N promised N`, the bytes that the cache had, and those that it had to have.
///
/// # Errors
/// Wrong bytes, above all, and lost ones.
pub(crate) fn fill(job: &PowerJob) -> Result<()> {
    let ground = Ground::with_cache(&job.images, &job.names, None)?;
    attach(&job.disk.display().to_string(), &ground.cache)?;
    let promised = promised(&job.promise)?;
    let fetched = read_all(&ground, job.seed).context("after a power cut")?;
    let lost = lost(&promised, &fetched);
    ensure!(
        lost.is_empty(),
        "synced before the power cut, and fetched again after it: {lost:?}"
    );
    let kept = ground.bytes()?.saturating_sub(bytes(&fetched));
    eprintln!("kept {kept} promised {}", bytes(&promised));
    let Some(sign) = &job.sign else {
        return Ok(());
    };
    ground.clear()?;
    // What the last cut left is gone from the disk, too.
    rustix::fs::sync();
    let service = ground.service(LATENCY_US);
    let daemon = Daemon::start(&service)?;
    let (cache, promise) = (ground.cache.clone(), job.promise.clone());
    thread::spawn(move || {
        let Err(why) = sync(&cache, &service.ledger, &promise);
        eprintln!("syncing the cache: {why:#}");
        // The host takes that for what it is: no power cut.
        std::process::exit(1);
    });
    let moment = fastrand::Rng::with_seed(job.seed).u64(0..ground.bytes()?);
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

/// What the last guest promised; after that it is forgotten.
fn promised(promise: &Path) -> Result<Vec<Fetch>> {
    match fs::read(promise) {
        Ok(text) => {
            fs::remove_file(promise)?;
            Ok(serde_json::from_slice(&text)?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context("the promise"),
    }
}

/// Syncs the cache every now and then: without it the file system's journal would not know of the
/// files for seconds. What was written before a sync is promised after it.
fn sync(cache: &Path, ledger: &Path, promise: &Path) -> Result<Infallible> {
    let cache = File::open(cache)?;
    let draft = promise.with_extension("draft");
    loop {
        thread::sleep(Duration::from_millis(fastrand::u64(..SYNC_MS)));
        let written = written(&fetched(ledger)?);
        rustix::fs::syncfs(&cache)?;
        // The guest does not cache the host's directory: what was written is there.
        fs::write(&draft, serde_json::to_vec(&written)?)?;
        fs::rename(&draft, promise)?;
    }
}
