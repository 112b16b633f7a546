// SPDX-License-Identifier: GPL-2.0

//! Reads of folios that wait without a task.
//!
//! Readahead hands its locked folios over and returns. Whoever needs one waits for
//! its lock, as for any read; if the read has failed, he waits for the page itself,
//! and gets the errno.

use super::{
    asking::{enter, judge, Entered, Wanted},
    contents::pages_touched,
    local,
    mount::{time_left, Mount},
    on_demand::OnDemand,
    ObjectRef,
};
use crate::vfs::{start_ticker, Batch};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{Instant, Monotonic},
};

/// A batch whose pages are not all present. Dropping it fails the reads.
pub(super) struct Parked {
    object: ObjectRef,
    mount: Arc<Mount>,
    direct: bool,
    since: Instant<Monotonic>,
    wanted: Option<Wanted>,
    /// Until the read goes on, or fails.
    batch: Option<Batch>,
}

impl Parked {
    /// A read that has not asked for anything yet.
    pub(super) fn new(blob: &OnDemand, batch: Batch) -> Self {
        blob.mount.waits();
        blob.object.count_parked();
        if blob.mount.policy.limit.is_some() {
            start_ticker();
        }
        Self {
            object: blob.object.clone(),
            mount: blob.mount.clone(),
            direct: blob.direct,
            since: Instant::now(),
            wanted: None,
            batch: Some(batch),
        }
    }

    /// Goes on as far as it can. Returns whether it has to wait still.
    pub(super) fn step(&mut self) -> bool {
        match self.advance() {
            Ok(true) => {
                if let Some(batch) = self.batch.take() {
                    local::read(self.object.file(), batch, self.direct);
                }
                false
            }
            Ok(false) => true,
            Err(error) => {
                if let Some(batch) = self.batch.take() {
                    batch.fail(error);
                }
                false
            }
        }
    }

    /// Whether all pages are there.
    fn advance(&mut self) -> Result<bool> {
        let Some(batch) = &self.batch else {
            return Ok(true);
        };
        if let Some(wanted) = self
            .wanted
            .take_if(|wanted| wanted.ticket.outcome().is_some())
        {
            judge(&self.object, &wanted)?;
        }
        let run = pages_touched(batch.address(), batch.len());
        if self.object.has(run) {
            return Ok(true);
        }
        if self.mount.is_aborted() {
            return Err(EIO);
        }
        time_left(self.since, self.mount.policy.limit)?;
        if self.wanted.is_some() {
            return Ok(false);
        }
        match enter(&self.mount, &self.object, run)? {
            Entered::Present => Ok(true),
            Entered::NoSession => Ok(false),
            Entered::Asked(wanted) => {
                self.wanted = Some(wanted);
                Ok(false)
            }
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.object.discount_parked();
        self.mount.waited(self.since);
    }
}
