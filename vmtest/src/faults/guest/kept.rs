// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A cache outlives its daemon: what was fetched once is not fetched again.

use anyhow::{ensure, Result};

use super::daemon::{Daemon, Fetch};
use super::ground::Ground;
use super::readers::Crowd;

/// Has a crowd read everything on top of the cache as it is; what had to be fetched.
///
/// # Errors
/// Wrong bytes, above all.
pub(super) fn read_all(ground: &Ground, seed: u64) -> Result<Vec<Fetch>> {
    let daemon = Daemon::start(&ground.service(0))?;
    let mounted = ground.mount("soft")?;
    Crowd::start(&ground.point, &ground.samples, seed)?.finish()?;
    ground.unmount(mounted)?;
    daemon.kill()
}

/// The same after everything was read once, by a daemon that is gone: nothing of it is lost.
///
/// # Errors
/// Part of a blob is fetched again. Of the bootstrap a crowd does not need every page, and what is read
/// ahead of it differs.
pub(super) fn all(ground: &Ground, seed: u64) -> Result<()> {
    let mut again = read_all(ground, seed)?;
    again.retain(|fetch| fetch.blob != ground.names[0]);
    ensure!(
        again.is_empty(),
        "read before, and fetched again by the next daemon: {again:?}"
    );
    Ok(())
}
