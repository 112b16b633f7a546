// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Prefetching: fills whole blobs in the background.

use std::ops::Range;
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::fill::{FillError, Filler};
use super::objects::OpenObject;
use super::retry::Retry;
use super::Session;
use crate::backend::Backend;
use crate::misbehaviour::Actions;

/// Delay before the last attempt to fill an object whose cache file is not open yet.
const MAX_DELAY: Duration = Duration::from_secs(1);

impl<B: Backend> Session<B> {
    /// Fills each object of `opened` until the channel is closed or the session stops.
    pub(super) fn prefetch_opened(&self, opened: &mpsc::Receiver<Arc<OpenObject>>) {
        let mut filler = self.filler().until(&self.stopping);
        for open in opened {
            match self.fill_opened(&mut filler, &open, 0..u64::MAX) {
                Ok(written) => tracing::debug!("{}: prefetched {written} bytes", open.blob),
                Err(error) => tracing::warn!("prefetching {}: {error}", open.blob),
            }
        }
    }

    /// Fills `range` of an object whose OPEN may have been answered just now. The C driver opens the
    /// cache file only after the answer, and fails lseek(2) with ENOBUFS until then.
    pub(super) fn fill_opened(
        &self,
        filler: &mut Filler<'_>,
        open: &OpenObject,
        range: Range<u64>,
    ) -> Result<u64, FillError> {
        let mut delay = Duration::from_millis(1);
        let (mut retry, patience) = (Retry::default(), self.options.patience);
        loop {
            match filler.fill(open, range.clone(), &Actions::default()) {
                Err(FillError::Seek(Errno::NOBUFS)) if delay < MAX_DELAY => thread::sleep(delay),
                Err(FillError::Fetch(error)) => {
                    let pause = retry.pause(&error, Instant::now(), patience);
                    if !pause.is_some_and(|pause| self.postponed.sleep(pause)) {
                        return Err(error.into());
                    }
                    continue;
                }
                ended => return ended,
            }
            delay *= 2;
        }
    }
}
