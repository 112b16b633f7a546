// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A fanotify handler that fills a sparse file while it is read, in a process of its own.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vmtest_wire::paths::SCRATCH;
use vmtest_wire::task::Task;

use crate::process::{guest_program, Process};
use crate::sys::fanotify::{PreContent, PRE_ACCESS};

/// Longest delay of a fill in microseconds.
pub(crate) const LATENCY_US: u64 = 4000;

/// Configuration of a handler, the job of `vmtest guest fanotify-handler`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Handling {
    /// Sparse file to fill.
    pub(crate) file: PathBuf,
    /// File to fill it from.
    pub(crate) source: PathBuf,
}

impl Task for Handling {
    const NAME: &'static str = "fanotify-handler";
    type Answer = ();
}

impl Handling {
    /// Starts a handler and waits until the file is marked. `program` is this program.
    ///
    /// # Errors
    /// The handler ends before it is ready.
    pub(crate) fn start(&self, program: &Path) -> Result<Process> {
        let job = Path::new(SCRATCH).join("handling.json");
        Process::ready(&mut guest_program(program, self, &job)?)
    }
}

/// Runs `vmtest guest fanotify-handler`: fills the file as it is read, until the handler is killed.
///
/// # Errors
/// A system call fails.
pub(crate) fn handle(handling: &Handling) -> Result<()> {
    let source = File::open(&handling.source)?;
    // Opened before the mark: a write through a descriptor opened later would raise an event that
    // this thread has to answer itself.
    let to = OpenOptions::new().write(true).open(&handling.file)?;
    let group = PreContent::new().context("fanotify_init")?;
    group.mark(&to, PRE_ACCESS).context("fanotify_mark")?;
    println!("ready");
    loop {
        for access in group.wait()? {
            thread::sleep(Duration::from_micros(fastrand::u64(..LATENCY_US)));
            let end = access.range.end.min(source.metadata()?.len());
            if access.range.start < end {
                let mut bytes = vec![0; usize::try_from(end - access.range.start)?];
                source.read_exact_at(&mut bytes, access.range.start)?;
                to.write_all_at(&bytes, access.range.start)?;
            }
            group.allow(&access)?;
        }
    }
}
