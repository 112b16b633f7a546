// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Persistence of the cache: data that was fetched once is not fetched again by the next daemon.

use anyhow::{ensure, Result};

use super::daemon::{Daemon, Fetch};
use super::fixture::Fixture;
use super::readers::Readers;

/// Starts a daemon on the cache as it is, reads all files and returns the fetches that this took.
///
/// # Errors
/// Wrong bytes, or an error of a read, a mount or the daemon.
pub(super) fn read_all(fixture: &Fixture, seed: u64) -> Result<Vec<Fetch>> {
    let daemon = Daemon::start(&fixture.service(0))?;
    let mounted = fixture.mount("soft")?;
    Readers::start(&fixture.point, &fixture.samples, seed)?.finish()?;
    fixture.unmount(mounted)?;
    daemon.kill()
}

/// Reads all files with a new daemon after an earlier one fetched all of them, and ensures that no
/// blob is fetched again.
///
/// # Errors
/// Part of a blob is fetched again. The bootstrap is not checked: the readers do not need each of
/// its pages, and readahead of it differs.
pub(super) fn all(fixture: &Fixture, seed: u64) -> Result<()> {
    let mut again = read_all(fixture, seed)?;
    again.retain(|fetch| fetch.blob != fixture.names[0]);
    ensure!(
        again.is_empty(),
        "read before, but fetched again by the next daemon: {again:?}"
    );
    Ok(())
}
