// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The cache's file system is full, or its disk fails, and then not any more.

use std::fs::{self, File};
use std::ops::Range;

use anyhow::{Context, Result};
use rustix::fs::{fallocate, statvfs, FallocateFlags};
use rustix::io::Errno;

use super::daemon::Daemon;
use super::ground::Ground;
use super::kept;
use super::readers::{Crowd, Met};
use super::{watch, Figures};
use crate::guest::mounts::drop_caches;
use crate::on_demand::guest::State;

/// Longest time of a fetch in microseconds.
const LATENCY_US: u64 = 1000;
/// The 4 KiB sectors of null_blk, in the 512 bytes that it counts in.
const SECTORS: u64 = 8;

/// What came of a full cache.
pub(crate) const NO_SPACE: &str = "reads that failed for want of space";
/// What came of a failing disk.
pub(crate) const BAD_BLOCKS: &str = "reads that failed for bad blocks";

/// Room for part of the image only: its readers get EIO, until there is more.
pub(super) fn no_space(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    ground.clear()?;
    let ballast = ground.cache.join("ballast");
    // So little that it is not enough, even for what is left to fetch when the fault begins.
    let left = rng.u64(0..ground.bytes()? / 2);
    let mut daemon = Daemon::start(&ground.service(LATENCY_US))?;
    let mounted = ground.mount("soft")?;
    let crowd = Crowd::start(&ground.point, &ground.samples, rng.u64(..))?;
    crowd.storm();
    let room = statvfs(&ground.cache)?;
    let file = File::create(&ballast)?;
    let bytes = (room.f_bavail * room.f_frsize).saturating_sub(left) & !4095;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // The daemon has taken what was to be left: then there is no room at all.
        Ok(()) | Err(Errno::NOSPC) => {}
        Err(error) => return Err(error).context("the ballast"),
    }
    drop(file);
    let met = weather(crowd, &mut daemon, true, &mut rng, || {
        fs::remove_file(&ballast)?;
        rustix::fs::sync();
        Ok(())
    })?;
    figures.add(NO_SPACE, met.errors);
    ground.unmount(mounted)?;
    daemon.kill()?;
    kept::all(ground, rng.u64(..))
}

/// Some blocks of the disk neither read nor write, until they do again.
pub(super) fn bad_blocks(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    ground.clear()?;
    let mut daemon = Daemon::start(&ground.service(LATENCY_US))?;
    let mounted = ground.mount("soft")?;
    let extents = ground.allocate()?;
    let crowd = Crowd::start(&ground.point, &ground.samples, rng.u64(..))?;
    // Not so late that all readers are past the bad blocks.
    let moment = rng.u64(0..ground.bytes()? / 2);
    let idle = || daemon.began() >= moment || crowd.is_idle() || crowd.is_wrong();
    watch::until("the daemon fetches", idle)?;
    crowd.storm();
    // Blocks of one extent, written or going to be.
    let blocks = |extent: Range<u64>| extent.clone().map(move |block| (block, extent.end));
    let blocks: Vec<(u64, u64)> = extents.into_iter().flat_map(blocks).collect();
    let (begin, end) = rng.choice(blocks).context("an empty cache")?;
    let end = end.min(begin + rng.u64(1..512));
    let range = format!("{}-{}", begin * SECTORS, end * SECTORS - 1);
    let bad = ground.disk.join("badblocks");
    fs::write(&bad, format!("+{range}")).context("null_blk's badblocks")?;
    drop_caches()?;
    let met = weather(crowd, &mut daemon, false, &mut rng, || {
        fs::write(&bad, format!("-{range}")).context("null_blk's badblocks")
    })?;
    figures.add(BAD_BLOCKS, met.errors);
    ground.unmount(mounted)?;
    daemon.kill()?;
    kept::all(ground, rng.u64(..))
}

/// Sees a crowd through a storm that `mend` ends; `readable`: during which present bytes can be read.
/// Who fails is told with what the module knows, and whether the daemon lives at all.
fn weather(
    crowd: Crowd,
    daemon: &mut Daemon,
    readable: bool,
    rng: &mut fastrand::Rng,
    mend: impl FnOnce() -> Result<()>,
) -> Result<Met> {
    through(crowd, readable, rng, mend)
        .with_context(|| format!("{}, {:?}", daemon.state(), State::now()))
}

fn through(
    crowd: Crowd,
    readable: bool,
    rng: &mut fastrand::Rng,
    mend: impl FnOnce() -> Result<()>,
) -> Result<Met> {
    watch::until("each reader gets its data or an error", || {
        crowd.is_idle() || crowd.is_wrong()
    })?;
    if readable {
        drop_caches()?;
        crowd.recall(rng, 64).context("under the fault")?;
    }
    mend()?;
    // Requests without a reader may be failing still, and a read that joins one fails with it.
    watch::idle()?;
    drop_caches()?;
    crowd.recall(rng, 64).context("after the fault")?;
    crowd.calm();
    crowd.finish()
}
