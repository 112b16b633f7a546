// SPDX-License-Identifier: Apache-2.0 OR MIT

//! This program, where a guest finds it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::provision::{Cache, Key};

/// What the kernel runs for us, even when its name is gone.
const RUNNING: &str = "/proc/self/exe";

/// The name of the step, and of the file in it.
const NAME: &str = "vmtest";

/// No run is this long: older copies are of programs that nobody runs.
const KEPT: Duration = Duration::from_secs(2 * 86_400);

/// A copy of this program that stays while it runs.
///
/// Guests start it by its path, and cargo replaces what lies in its target directory whenever the
/// sources or the features of a dependency changed: `cargo test --workspace` is enough.
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
