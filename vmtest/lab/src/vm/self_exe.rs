// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The copy of this program that guests run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};

/// The running program. Works even if its file has been replaced.
const RUNNING: &str = "/proc/self/exe";

/// The name of the step, and of the file in it.
const NAME: &str = "vmtest";

/// Age at which a copy is removed. No run takes this long, so no guest uses such a copy.
const KEPT: Duration = Duration::from_secs(2 * 86_400);

/// The path of a copy of this program in the cache.
///
/// Guests start the program by its path. The original in cargo's target directory will not do: a
/// build during the run (even `cargo test --workspace`) would replace it.
///
/// # Errors
/// When the cache cannot be written.
pub fn program() -> Result<&'static Path> {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(copy) = COPY.get() {
        return Ok(copy);
    }
    let copy = copy().context("copying this program for the guests")?;
    Ok(COPY.get_or_init(|| copy))
}

fn copy() -> Result<PathBuf> {
    let cache = Cache::open()?;
    let meta = fs::metadata(RUNNING)?;
    let key = [meta.dev(), meta.ino(), meta.size()]
        .into_iter()
        .map(|number| number.to_string())
        .chain([meta.mtime().to_string(), meta.mtime_nsec().to_string()])
        .fold(Key::new(), Key::add);
    let dir = cache.step(NAME, &key, |dir| {
        cache.prune(NAME, KEPT)?;
        fs::copy(RUNNING, dir.join(NAME))?;
        Ok(())
    })?;
    Ok(dir.join(NAME))
}
