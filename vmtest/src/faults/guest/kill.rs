// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The daemon is killed at a random moment while readers compare; another one takes over.

use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use super::daemon::{bytes, lost, written, Daemon};
use super::ground::Ground;
use super::readers::Crowd;
use super::{watch, Figures};
use crate::guest::mounts::drop_caches;
use crate::on_demand::guest::{Counters, State};

/// Longest time of a fetch in microseconds: long enough for the kill to meet some.
const LATENCY_US: u64 = 4000;

/// What came of it.
pub(crate) const NO_DAEMON: &str = "reads that failed with EIO without a daemon";

/// One kill. Even seeds mount soft, odd ones hard.
pub(super) fn round(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let hard = seed % 2 == 1;
    ground.clear()?;
    let service = ground.service(LATENCY_US);
    let first = Daemon::start(&service)?;
    let before = State::now()?;
    let mounted = ground.mount(if hard { "hard" } else { "soft" })?;
    let crowd = Crowd::start(&ground.point, &ground.samples, rng.u64(..))?;

    let moment = rng.u64(0..ground.bytes()?);
    let idle = || first.began() >= moment || crowd.is_idle() || crowd.is_wrong();
    watch::until("the daemon fetches", idle)?;
    thread::sleep(Duration::from_micros(rng.u64(0..LATENCY_US)));
    if !hard {
        crowd.storm();
    }
    let earlier = first.kill().context("killing the daemon")?;
    if hard {
        thread::sleep(Duration::from_millis(rng.u64(0..50)));
    } else {
        let idle = || crowd.is_idle() || crowd.is_wrong();
        watch::until("each reader gets its data or an error", idle)?;
        drop_caches()?;
        crowd.recall(&mut rng, 64).context("without a daemon")?;
    }
    let second = Daemon::start(&service)?;
    crowd.calm();
    let met = crowd.finish()?;
    let later = second.fetched()?;
    let written = written(&earlier);
    let again = lost(&written, &later);
    ensure!(
        again.is_empty(),
        "written before the kill, and fetched again after it: {again:?}"
    );
    // Readahead may be under way still.
    watch::idle()?;
    let state = State::now()?;
    ensure!(state.get("bound")? == 1, "{state:?}");
    state.adds_up(&before, &Counters::sum()?)?;
    ground.unmount(mounted)?;
    drop(second);

    figures.add(NO_DAEMON, met.errors);
    figures.add("fetches before the kill", earlier.len() as u64);
    figures.add("fetches after it", later.len() as u64);
    figures.add("bytes fetched before the kill", bytes(&earlier));
    figures.add("bytes fetched after it", bytes(&later));
    figures.add("bytes of the images", ground.bytes()?);
    Ok(())
}
