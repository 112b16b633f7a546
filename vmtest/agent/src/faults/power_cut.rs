// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Guest that checks its cache after a power cut and then fills a new one until the next power cut.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use vmtest_wire::faults::PowerJob;

use super::daemon::{bytes, fetched, lost, written, Daemon, Fetch};
use super::fixture::{attach, Fixture};
use super::hang_detector;
use super::persistence::read_all;
use super::readers::Readers;

/// Longest delay of a fetch in microseconds: filling takes a second or two.
const LATENCY_US: u64 = 200_000;
/// Longest time between two syncs in milliseconds.
const SYNC_MS: u64 = 200;

/// Checks the cache that the last power cut left, then fills an empty one until the next.
///
/// Reads all files of the image. Data that the last guest recorded as synced must not be
/// fetched again. Prints `kept N synced N`: the bytes found in the cache and the bytes that
/// had to be there. Then clears the cache and creates the file `job.trigger` at a random moment of
/// filling it, for the host to cut the power.
///
/// # Errors
/// Wrong bytes, lost data, or an error of a read, a mount or the daemon.
pub(crate) fn fill(job: &PowerJob) -> Result<()> {
    let fixture = Fixture::with_cache(&job.images, &job.names, None)?;
    attach(job.fs, &job.disk, &fixture.cache)?;
    let synced = synced(&job.synced_list)?;
    let fetched = read_all(&fixture, job.seed).context("after a power cut")?;
    let lost = lost(&synced, &fetched);
    ensure!(
        lost.is_empty(),
        "synced before the power cut, but fetched again after it: {lost:?}"
    );
    let kept = fixture.bytes()?.saturating_sub(bytes(&fetched));
    eprintln!("kept {kept} synced {}", bytes(&synced));
    let Some(trigger) = &job.trigger else {
        return Ok(());
    };
    fixture.clear()?;
    // Remove the old cache from the disk, too.
    rustix::fs::sync();
    let service = fixture.service(LATENCY_US);
    let daemon = Daemon::start(&service)?;
    let (cache, synced_list) = (fixture.cache.clone(), job.synced_list.clone());
    thread::spawn(move || {
        let Err(why) = sync(&cache, &service.ledger, &synced_list);
        eprintln!("syncing the cache: {why:#}");
        // The host treats this exit status as a failure, not as a power cut.
        std::process::exit(1);
    });
    let moment = fastrand::Rng::with_seed(job.seed).u64(0..fixture.bytes()?);
    let _mounted = fixture.mount("soft")?;
    let readers = Readers::start(&fixture.point, &fixture.samples, job.seed)?;
    let now = || daemon.began() >= moment || readers.is_idle() || readers.is_wrong();
    hang_detector::until("the daemon fetches", now)?;
    fs::write(trigger, "")?;
    readers.finish()?;
    // The cache is full; the host cuts the power soon.
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Reads and removes the list of the fetches that the last guest synced.
fn synced(synced_list: &Path) -> Result<Vec<Fetch>> {
    match fs::read(synced_list) {
        Ok(text) => {
            fs::remove_file(synced_list)?;
            Ok(serde_json::from_slice(&text)?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context("reading the list of synced fetches"),
    }
}

/// Syncs the cache at random intervals, and records after each sync the fetches written before it
/// as the list of synced fetches. Without it the journal would not commit the new files for seconds.
fn sync(cache: &Path, ledger: &Path, synced_list: &Path) -> Result<Infallible> {
    let cache = File::open(cache)?;
    let draft = synced_list.with_extension("draft");
    loop {
        thread::sleep(Duration::from_millis(fastrand::u64(..SYNC_MS)));
        let written = written(&fetched(ledger)?);
        rustix::fs::syncfs(&cache)?;
        // The guest does not cache the shared directory: after a write the host has the data.
        fs::write(&draft, serde_json::to_vec(&written)?)?;
        fs::rename(&draft, synced_list)?;
    }
}
