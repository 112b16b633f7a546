// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A fanotify pre-content group that allows each read at once: the cost that mainline's mechanism
//! for on-demand loading adds to reads of local data.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{anyhow, Context, Result};

use crate::sys::fanotify::{PreContent, PRE_ACCESS};

/// A marked file, with a thread that allows its reads. Dropping it removes the mark.
pub(super) struct Marked {
    file: PathBuf,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Marked {
    /// Marks `file` and starts the answering thread.
    ///
    /// A thread of this process is the cheapest possible handler: switching to it changes no
    /// address space.
    pub(super) fn new(file: &Path) -> Result<Self> {
        let group = PreContent::new().context("fanotify_init")?;
        group
            .mark(&File::open(file)?, PRE_ACCESS)
            .with_context(|| format!("fanotify_mark {}", file.display()))?;
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let thread = thread::spawn(move || {
            let mut events = 0;
            while !told.load(Ordering::Relaxed) {
                for access in group.wait()? {
                    group.allow(&access)?;
                    events += 1;
                }
            }
            Ok(events)
        });
        Ok(Self {
            file: file.to_owned(),
            ending,
            thread: Some(thread),
        })
    }

    /// Removes the mark and returns the number of events.
    pub(super) fn stop(mut self) -> Result<u64> {
        let events = self.end()?;
        // The last event is that of the read in `end()`.
        Ok(events.saturating_sub(1))
    }

    fn end(&mut self) -> Result<u64> {
        let Some(thread) = self.thread.take() else {
            return Ok(0);
        };
        self.ending.store(true, Ordering::Relaxed);
        // Raise one more event to wake the thread, which then ends.
        File::open(&self.file)?.read_exact(&mut [0])?;
        let ended = thread.join();
        ended.map_err(|_| anyhow!("the answering thread panicked"))?
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // Reached with a thread only after another error, which is the one reported.
        let _ = self.end();
    }
}
