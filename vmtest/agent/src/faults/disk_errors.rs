// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Temporary failures of the cache's file system: no space, and bad blocks of its disk.

use std::fs::{self, File};
use std::ops::Range;

use anyhow::{Context, Result};
use rustix::fs::{fallocate, statvfs, FallocateFlags};
use rustix::io::Errno;
use vmtest_wire::faults::{Figures, BAD_BLOCKS, NO_SPACE};

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::readers::{ReaderTotals, Readers};
use super::{hang_detector, persistence};
use crate::mounts::drop_caches;
use crate::on_demand::counters::State;

/// Longest delay of a fetch in microseconds.
const LATENCY_US: u64 = 1000;
/// Sectors of 512 bytes, null_blk's unit, in a block of 4 KiB.
const SECTORS: u64 = 8;

/// Runs one round with room for part of the image only. Reads fail with EIO until there is space
/// again.
pub(super) fn no_space(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    fixture.clear()?;
    let ballast = fixture.cache.join("ballast");
    // Less than the fetches after the begin of the fault need.
    let left = rng.u64(0..fixture.bytes()? / 2);
    let mut daemon = Daemon::start(&fixture.service(LATENCY_US))?;
    let mounted = fixture.mount("soft")?;
    let readers = Readers::start(&fixture.point, &fixture.samples, rng.u64(..))?;
    readers.open_error_window();
    let room = statvfs(&fixture.cache)?;
    let file = File::create(&ballast)?;
    let bytes = (room.f_bavail * room.f_frsize).saturating_sub(left) & !4095;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // ENOSPC: the daemon has already used the space that was to be left, so there is none at
        // all.
        Ok(()) | Err(Errno::NOSPC) => {}
        Err(error) => return Err(error).context("filling the cache's file system"),
    }
    drop(file);
    let met = end_fault(readers, &mut daemon, true, &mut rng, || {
        fs::remove_file(&ballast)?;
        rustix::fs::sync();
        Ok(())
    })?;
    figures.add(NO_SPACE, met.errors);
    fixture.unmount(mounted)?;
    daemon.kill()?;
    persistence::all(fixture, rng.u64(..))
}

/// Runs one round in which some blocks of the disk fail reads and writes until they are repaired.
pub(super) fn bad_blocks(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    fixture.clear()?;
    let mut daemon = Daemon::start(&fixture.service(LATENCY_US))?;
    let mounted = fixture.mount("soft")?;
    let extents = fixture.allocate()?;
    let readers = Readers::start(&fixture.point, &fixture.samples, rng.u64(..))?;
    // Early enough for some readers to meet the bad blocks.
    let moment = rng.u64(0..fixture.bytes()? / 2);
    let idle = || daemon.began() >= moment || readers.is_idle() || readers.is_wrong();
    hang_detector::until("the daemon fetches", idle)?;
    readers.open_error_window();
    // Blocks of one extent, whether already written or not.
    let blocks = |extent: Range<u64>| extent.clone().map(move |block| (block, extent.end));
    let blocks: Vec<(u64, u64)> = extents.into_iter().flat_map(blocks).collect();
    let (begin, end) = rng.choice(blocks).context("the cache has no blocks")?;
    let end = end.min(begin + rng.u64(1..512));
    let range = format!("{}-{}", begin * SECTORS, end * SECTORS - 1);
    let bad = fixture.disk.join("badblocks");
    fs::write(&bad, format!("+{range}")).context("null_blk's badblocks")?;
    drop_caches()?;
    let met = end_fault(readers, &mut daemon, false, &mut rng, || {
        fs::write(&bad, format!("-{range}")).context("null_blk's badblocks")
    })?;
    figures.add(BAD_BLOCKS, met.errors);
    fixture.unmount(mounted)?;
    daemon.kill()?;
    persistence::all(fixture, rng.u64(..))
}

/// Waits until each reader is idle, ends the fault with `mend`, and lets the readers finish. With
/// `readable`, present data must be readable during the fault. An error includes the state of
/// daemon and module.
fn end_fault(
    readers: Readers,
    daemon: &mut Daemon,
    readable: bool,
    rng: &mut fastrand::Rng,
    mend: impl FnOnce() -> Result<()>,
) -> Result<ReaderTotals> {
    end_fault_of(readers, readable, rng, mend)
        .with_context(|| format!("{}, {:?}", daemon.state(), State::now()))
}

fn end_fault_of(
    readers: Readers,
    readable: bool,
    rng: &mut fastrand::Rng,
    mend: impl FnOnce() -> Result<()>,
) -> Result<ReaderTotals> {
    hang_detector::until("each reader gets its data or an error", || {
        readers.is_idle() || readers.is_wrong()
    })?;
    if readable {
        drop_caches()?;
        readers.recall(rng, 64).context("under the fault")?;
    }
    mend()?;
    // Requests without a waiting reader may still be failing, and a read that joins one fails with
    // it.
    hang_detector::idle()?;
    drop_caches()?;
    readers.recall(rng, 64).context("after the fault")?;
    readers.close_error_window();
    readers.finish()
}
