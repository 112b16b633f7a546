// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Allocations and disk requests of reading and mounting tasks that fail at random.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use ondine_model::observation::Errno;
use vmtest_wire::faults::{Figures, BAD_REQUESTS, NO_MEMORY};

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::readers::Readers;
use super::{hang_detector, persistence};
use crate::fault_injection::{injected, Injection};
use crate::mounts::{drop_caches, Mounted};

/// Longest delay of a fetch in microseconds.
const LATENCY_US: u64 = 1000;
/// Calls of mount(2) in a round.
const MOUNTS: u32 = 20;
/// Interval of the failures of mount(2), which makes some hundred allocations: one of twice so many
/// fails.
const MOUNTING: u32 = 100;
/// The same for reads.
const READING: u32 = 20;
/// Interval of the failures of disk requests: there are few, and one that reads ahead fails unseen.
const REQUESTS: u32 = 2;

/// Runs one round in which allocations of mounting and reading tasks fail. Each mount(2) succeeds
/// or fails with ENOMEM, and each read has the right bytes or an error.
pub(super) fn no_memory(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    fixture.clear()?;
    let daemon = Daemon::start(&fixture.service(LATENCY_US))?;
    let kinds = ["failslab", "fail_page_alloc"];
    let injections = kinds.map(|kind| Injection::new(kind, MOUNTING));
    let injections: Vec<Injection> = injections.into_iter().collect::<Result<_>>()?;
    for _ in 0..MOUNTS {
        let (point, options) = (fixture.point.clone(), fixture.options("soft"));
        let mount =
            move || injected(|| Mounted::plain("ondine", Path::new("none"), &point, &options));
        match hang_detector::ended("mount", mount)??? {
            Ok(mounted) => fixture.unmount(mounted)?,
            Err(Errno::ENOMEM) => figures.add(NO_MEMORY, 1),
            Err(errno) => bail!("mount(2) without memory: {errno}"),
        }
    }
    for injection in &injections {
        injection.set_interval(READING)?;
    }
    let errors = read(fixture, seed, &[libc::ENOMEM, libc::EIO])?;
    drop(injections);
    figures.add("reads that failed for want of memory", errors);
    daemon.kill()?;
    persistence::all(fixture, seed)
}

/// Runs one round in which disk requests of reading tasks fail.
pub(super) fn bad_requests(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    fixture.clear()?;
    let daemon = Daemon::start(&fixture.service(LATENCY_US))?;
    let flag = fixture.block_device.join("make-it-fail");
    let set = |value| fs::write(&flag, value).with_context(|| flag.display().to_string());
    set("1")?;
    let requests = Injection::new("fail_make_request", REQUESTS)?;
    let errors = read(fixture, seed, &[libc::EIO])?;
    drop(requests);
    set("0")?;
    figures.add(BAD_REQUESTS, errors);
    daemon.kill()?;
    persistence::all(fixture, seed)
}

/// Reads all files twice, first from an empty cache, while calls of the readers fail. Returns the
/// number of errors.
fn read(fixture: &Fixture, seed: u64, errors: &'static [i32]) -> Result<u64> {
    let mounted = fixture.mount("soft")?;
    let mut met = 0;
    for pass in 0..2 {
        drop_caches()?;
        let (samples, seed) = (&fixture.samples, seed.wrapping_add(pass));
        let readers = Readers::start_injected(&fixture.point, samples, seed, errors)?;
        met += readers.finish()?.errors;
    }
    fixture.unmount(mounted)?;
    Ok(met)
}
