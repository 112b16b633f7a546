// SPDX-License-Identifier: Apache-2.0 OR MIT

//! SIGKILL of the daemon at a random moment while readers compare; then a second daemon on the same
//! cache.

use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use vmtest_wire::faults::{Figures, NO_DAEMON};

use super::daemon::{bytes, lost, written, Daemon};
use super::fixture::Fixture;
use super::hang_detector;
use super::readers::Readers;
use crate::mounts::drop_caches;
use crate::on_demand::counters::{self, State};

/// Longest delay of a fetch in microseconds, long enough for the kill to interrupt some fetches.
const LATENCY_US: u64 = 4000;

/// Runs one round: one kill. Even seeds mount with `soft`, odd ones with `hard`.
pub(super) fn round(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let hard = seed % 2 == 1;
    fixture.clear()?;
    let service = fixture.service(LATENCY_US);
    let first = Daemon::start(&service)?;
    let before = State::now()?;
    let mounted = fixture.mount(if hard { "hard" } else { "soft" })?;
    let readers = Readers::start(&fixture.point, &fixture.samples, rng.u64(..))?;

    let moment = rng.u64(0..fixture.bytes()?);
    let idle = || first.began() >= moment || readers.is_idle() || readers.is_wrong();
    hang_detector::until("the daemon fetches", idle)?;
    thread::sleep(Duration::from_micros(rng.u64(0..LATENCY_US)));
    if !hard {
        readers.open_error_window();
    }
    let earlier = first.kill().context("killing the daemon")?;
    if hard {
        thread::sleep(Duration::from_millis(rng.u64(0..50)));
    } else {
        let idle = || readers.is_idle() || readers.is_wrong();
        hang_detector::until("each reader gets its data or an error", idle)?;
        drop_caches()?;
        readers.recall(&mut rng, 64).context("without a daemon")?;
    }
    let second = Daemon::start(&service)?;
    readers.close_error_window();
    let met = readers.finish()?;
    let later = second.fetched()?;
    let written = written(&earlier);
    let again = lost(&written, &later);
    ensure!(
        again.is_empty(),
        "written to the cache before the kill, but fetched again after it: {again:?}"
    );
    // Readahead may still be in progress.
    hang_detector::idle()?;
    let state = State::now()?;
    ensure!(state.get("bound")? == 1, "{state:?}");
    state.adds_up(&before, &counters::sum()?)?;
    fixture.unmount(mounted)?;
    drop(second);

    figures.add(NO_DAEMON, met.errors);
    figures.add("fetches before the kill", earlier.len() as u64);
    figures.add("fetches after it", later.len() as u64);
    figures.add("bytes fetched before the kill", bytes(&earlier));
    figures.add("bytes fetched after it", bytes(&later));
    figures.add("bytes of the images", fixture.bytes()?);
    Ok(())
}
