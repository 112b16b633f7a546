// SPDX-License-Identifier: GPL-2.0

//! An object as one mount uses it: what hits, and what waits.

use super::{
    asking::{enter, judge, Entered},
    contents::{pages_touched, Contents},
    local,
    mount::{time_left, Mount},
    parked::Parked,
    registry::Role,
    Object, ObjectRef,
};
use crate::vfs::{metadata_error, Backing, Batch, MetaSlice};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
use ondine_ondemand::{presence::PAGE_SHIFT, Run};

/// Metadata is asked for in aligned runs of this many pages: 128 KiB.
const META_RUN: u64 = (128 << 10) >> PAGE_SHIFT;

/// A blob that a daemon fills.
pub(crate) struct OnDemand {
    pub(super) object: ObjectRef,
    pub(super) mount: Arc<Mount>,
    /// As for a [`Local`](super::Local) blob.
    pub(super) direct: bool,
}

impl OnDemand {
    /// The blob with this cookie key.
    ///
    /// # Errors
    ///
    /// As [`Mount::object`].
    pub(crate) fn open(
        mount: &Arc<Mount>,
        cookie: &[u8],
        role: Role,
        direct: bool,
    ) -> Result<Self> {
        Ok(Self {
            object: mount.object(cookie, role)?,
            mount: mount.clone(),
            direct,
        })
    }

    /// The cache file.
    pub(super) fn file(&self) -> &Backing {
        self.object.file()
    }

    /// Whether `[address, address + len)` is there to be read.
    #[inline]
    pub(super) fn has(&self, address: u64, len: u64) -> bool {
        self.object.has(pages_touched(address, len))
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.object.contents().is_some_and(Contents::is_whole)
    }

    /// Metadata, as [`Blob::bytes`](super::Blob::bytes): waits for what is
    /// missing.
    pub(super) fn bytes(&self, address: u64, len: usize) -> Result<MetaSlice> {
        let mut len = len as u64;
        if !self.has(address, len) {
            // One page is enough; what follows is asked for on the way.
            let page = PAGE_SIZE as u64;
            len = len.min(page.wrapping_sub(address & page.wrapping_sub(1)));
            let first = address >> PAGE_SHIFT;
            let run = Run {
                first: first & !META_RUN.wrapping_sub(1),
                count: META_RUN,
            };
            self.ask(run);
            self.wait(Run { first, count: 1 }).map_err(metadata_error)?;
        }
        self.file().bytes(address, len as usize)
    }

    /// Asks for what is missing of `[address, address + len)`, now or when the
    /// size is known, and does not wait for it.
    pub(super) fn ask_for(&self, address: u64, len: u64) {
        let run = pages_touched(address, len);
        if self.object.contents().is_some() {
            self.ask(run);
        } else {
            self.object.postpone(run);
        }
    }

    /// Waits until `[address, address + len)` is there.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub(super) fn wait_for(&self, address: u64, len: u64) -> Result {
        self.wait(pages_touched(address, len))
    }

    /// Fills the page cache ranges of `batch`: what is there now, and the rest when
    /// it is.
    pub(super) fn read(&self, mut batch: Batch) {
        loop {
            let rest = batch.split_off(self.stretch(batch.address(), batch.len()));
            if self.has(batch.address(), batch.len()) {
                if !batch.is_fetched() {
                    self.mount.hit();
                }
                local::read(self.file(), batch, self.direct);
            } else {
                self.mount.missed();
                Object::park(&self.object, Parked::new(self, batch));
            }
            match rest {
                Some(rest) => batch = rest,
                None => return,
            }
        }
    }

    /// How many of `len` bytes from `address` on are alike, there or missing.
    fn stretch(&self, address: u64, len: u64) -> u64 {
        let Some(contents) = self.object.contents() else {
            return len;
        };
        let (run, presence) = (pages_touched(address, len), contents.presence());
        let next = if presence.contains(run.first, 1) {
            presence.first_missing(run.first, run.count)
        } else {
            presence.first_present(run.first, run.count)
        };
        next.map_or(len, |page| (page << PAGE_SHIFT).saturating_sub(address))
    }

    fn ask(&self, run: Run) {
        let contents = self.object.contents();
        let run = contents.map_or(run, |contents| run.before(contents.pages()));
        // Only a hint: who needs a page will ask again, and then be told.
        let _wanted = self.mount.ask(&self.object, run);
    }

    /// Waits until the pages of `run` are there.
    ///
    /// # Errors
    ///
    /// EIO if the daemon answered without writing them, if there is no daemon
    /// and the mount is soft, or if they are beyond the end; what the daemon
    /// says; EINTR if the task is killed; ETIMEDOUT.
    fn wait(&self, run: Run) -> Result {
        let mount = &*self.mount;
        let waiting = mount.wait();
        loop {
            if self.object.has(run) {
                return Ok(());
            }
            if mount.is_aborted() {
                return Err(EIO);
            }
            let limit = time_left(waiting.since(), mount.policy.limit)?;
            match enter(mount, &self.object, run)? {
                Entered::Present => return Ok(()),
                Entered::NoSession => mount.wait_for_session(limit)?,
                Entered::Asked(wanted) => {
                    let done = || wanted.ticket.outcome().is_some() || mount.is_aborted();
                    self.object.waiters().wait(limit, done)?;
                    judge(&self.object, &wanted)?;
                }
            }
        }
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        self.mount.cache.release(&self.object);
    }
}
