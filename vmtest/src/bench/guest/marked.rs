// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What mainline offers in place of on-demand loading: a fanotify group that is asked before each
//! read of a file, and here always says yes at once, as for data that is local.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{anyhow, Context, Result};

use crate::guest::sys::fanotify::PreContent;

/// A file whose reads are asked for, until it is stopped or dropped.
pub(super) struct Marked {
    file: PathBuf,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Marked {
    /// Marks `file`, and answers from a thread.
    ///
    /// A thread of this process is the cheapest handler there is: the switch to it changes no
    /// address space.
    pub(super) fn new(file: &Path) -> Result<Self> {
        let group = PreContent::new().context("fanotify_init")?;
        group
            .mark(&File::open(file)?)
            .with_context(|| format!("a fanotify mark on {}", file.display()))?;
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

    /// Removes the mark; how many reads were asked for.
    pub(super) fn stop(mut self) -> Result<u64> {
        let events = self.end()?;
        // The last one was this function's own.
        Ok(events.saturating_sub(1))
    }

    fn end(&mut self) -> Result<u64> {
        let Some(thread) = self.thread.take() else {
            return Ok(0);
        };
        self.ending.store(true, Ordering::Relaxed);
        // One more event wakes the thread, which then ends.
        File::open(&self.file)?.read_exact(&mut [0])?;
        let ended = thread.join();
        ended.map_err(|_| anyhow!("the thread that answers panicked"))?
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // On the way out of an error; the error is what counts.
        let _ = self.end();
    }
}
