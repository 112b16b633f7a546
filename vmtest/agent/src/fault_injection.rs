// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's fault injection (CONFIG_FAULT_INJECTION, Documentation/fault-injection): calls of
//! chosen tasks inside of the kernel fail.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

/// Percentage of the calls that are looked at, one in [`Injection::new`]'s interval, to fail.
const PROBABILITY: u32 = 50;

/// Failures of one kind in tasks that run [`injected`]; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct Injection {
    dir: PathBuf,
}

impl Injection {
    /// Lets one of `2 * interval` calls fail. `capability` is the name of its directory in debugfs:
    /// `failslab`, `fail_page_alloc`, `fail_make_request`.
    ///
    /// # Errors
    /// The guest's kernel cannot inject such failures.
    pub(crate) fn new(capability: &str, interval: u32) -> Result<Self> {
        let dir = Path::new("/sys/kernel/debug").join(capability);
        ensure!(
            dir.is_dir(),
            "the guest's kernel has no {capability} (CONFIG_FAULT_INJECTION_DEBUG_FS); --kernel san has it"
        );
        let injection = Self { dir };
        for (name, value) in [
            // A line for each failure would be a flood.
            ("verbose", "0"),
            ("task-filter", "Y"),
            ("times", "-1"),
            ("probability", &PROBABILITY.to_string()),
        ] {
            injection.write(name, value)?;
        }
        // By default only allocations that may not sleep fail.
        if injection.dir.join("ignore-gfp-wait").exists() {
            injection.write("ignore-gfp-wait", "N")?;
        }
        if injection.dir.join("min-order").exists() {
            injection.write("min-order", "0")?;
        }
        injection.set_interval(interval)?;
        Ok(injection)
    }

    /// Lets one of `2 * interval` calls fail from now on.
    ///
    /// # Errors
    /// debugfs cannot be written.
    pub(crate) fn set_interval(&self, interval: u32) -> Result<()> {
        self.write("interval", &interval.to_string())
    }

    fn write(&self, name: &str, value: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, value).with_context(|| path.display().to_string())
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // A failure leaves later rounds with failures that they do not expect, and they say so.
        let _ = self.write("probability", "0");
    }
}

/// Runs `call` with this thread as one whose calls fail.
///
/// `call` must not allocate much memory: the kernel may refuse to give it to the process.
///
/// # Errors
/// The guest's kernel has no fault injection.
pub(crate) fn injected<T>(call: impl FnOnce() -> T) -> Result<T> {
    let path = "/proc/thread-self/make-it-fail";
    let flag = OpenOptions::new()
        .write(true)
        .open(path)
        .with_context(|| format!("{path} (CONFIG_FAULT_INJECTION); --kernel san has it"))?;
    flag.write_all_at(b"1", 0).context(path)?;
    let result = call();
    // This write may be what fails.
    let mut off: io::Result<()> = Ok(());
    for _ in 0..1000 {
        off = flag.write_all_at(b"0", 0);
        if off.is_ok() {
            return Ok(result);
        }
    }
    off.context(path)?;
    Ok(result)
}
