// SPDX-License-Identifier: GPL-2.0

//! A blob in a cache file, as one mount reads it.

use super::{
    deferred_read::{DeferredRead, Folios},
    error, local,
    object::Contents,
    registry::Role,
    Cache, ObjectRef, OnDemandMount,
};
use crate::vfs::{metadata_error, Backing, MetaSlice, ReadRequest};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    time::{Instant, Monotonic},
};
use ondine_ondemand::{
    deferred::{defer, Folios as _},
    page::PAGE_SHIFT,
    platform::{MountOps, ObjectOps},
    read::{PendingRead, Step},
    submit, Errno, Run,
};

/// A page of the page cache must be one of the presence set: `bytes` hands out a whole
/// one when the latter is present, reads of folios are split at the latter, and cache
/// files have a size in the former.
const _: () = assert!(
    PAGE_SIZE as u64 == ondine_ondemand::page::PAGE_SIZE,
    "ondine needs a kernel with pages of 4 KiB"
);

/// Metadata is requested in aligned runs of this many pages: 128 KiB.
const METADATA_RUN: u64 = (128 << 10) >> PAGE_SHIFT;

/// A blob that a daemon fills.
pub(crate) struct OnDemand {
    pub(super) object: ObjectRef,
    pub(super) mount: Arc<OnDemandMount>,
    /// As for a [`Local`](super::Local) blob.
    direct: bool,
}

impl OnDemand {
    /// The blob with this cookie key.
    ///
    /// # Errors
    ///
    /// As [`OnDemandMount::object`].
    pub(crate) fn open(
        mount: &Arc<OnDemandMount>,
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

    /// Returns whether the pages of `[address, address + len)` are present.
    #[inline]
    pub(super) fn has(&self, address: u64, len: u64) -> bool {
        self.object.has(Run::touched_by(address, len))
    }

    /// Returns whether the blob is known to end at or before `address`.
    pub(super) fn ends_before(&self, address: u64) -> bool {
        self.object.contents().is_some() && self.file().size() <= address
    }

    /// Returns whether no page is missing.
    pub(super) fn is_fully_present(&self) -> bool {
        self.object
            .contents()
            .is_some_and(Contents::is_fully_present)
    }

    /// Reads metadata, as [`Blob::bytes`](super::Blob::bytes); waits for missing
    /// pages.
    pub(super) fn bytes(&self, address: u64, len: usize) -> Result<MetaSlice> {
        let mut len = len as u64;
        if !self.has(address, len) {
            // The caller gets one page, and those around it are prefetched. While
            // the size is not known, which is when an image is mounted, the daemon
            // is asked for one page alone, as by Linux 6.12.
            let page = PAGE_SIZE as u64;
            len = len.min(page.wrapping_sub(address & page.wrapping_sub(1)));
            let first = address >> PAGE_SHIFT;
            if self.object.contents().is_some() {
                self.prefetch_metadata(Run { first, count: 1 });
            }
            self.wait(Run { first, count: 1 }).map_err(metadata_error)?;
        }
        self.file().bytes(address, len as usize)
    }

    /// Requests metadata that is missing, and returns whether it is. Does not wait.
    pub(super) fn request_missing(&self, address: u64, len: u64) -> bool {
        let missing = Run::touched_by(address, len);
        let is_missing = !self.object.has(missing);
        if is_missing {
            self.prefetch_metadata(missing);
        }
        is_missing
    }

    /// Requests the missing pages of the aligned runs of metadata that `pages` lies in.
    fn prefetch_metadata(&self, pages: Run) {
        let mask = METADATA_RUN.wrapping_sub(1);
        let first = pages.first & !mask;
        let end = pages.first.saturating_add(pages.count).saturating_add(mask) & !mask;
        let run = Run {
            first,
            count: end.saturating_sub(first),
        };
        submit::prefetch::<Cache>(&self.mount, &self.object, run);
    }

    /// Requests the missing pages of `[address, address + len)`, now or once the
    /// size is known, without waiting for them.
    pub(super) fn prefetch(&self, address: u64, len: u64) {
        submit::prefetch::<Cache>(&self.mount, &self.object, Run::touched_by(address, len));
    }

    /// Waits until the pages of `[address, address + len)` are present.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub(super) fn wait_for(&self, address: u64, len: u64) -> Result {
        self.wait(Run::touched_by(address, len))
    }

    /// Reads folios: present pages now, and missing ones when they have come.
    pub(super) fn read(&self, mut request: ReadRequest) {
        loop {
            let (address, len) = (request.address(), request.len());
            let contents = self.object.contents();
            let uniform = contents.map_or(len, |contents| contents.uniform_len(address, len));
            let rest = request.split_off(uniform);
            if self.has(request.address(), request.len()) {
                if !request.was_waited_for() {
                    self.mount.count_hit();
                }
                local::read(self.file(), request, self.direct);
            } else {
                self.mount.count_miss();
                let folios = Folios {
                    request,
                    direct: self.direct,
                };
                match DeferredRead::new(self.mount.clone(), self.object.clone(), folios) {
                    Ok(read) => defer(&*self.object, read),
                    Err(folios) => folios.fail(Errno::EAGAIN),
                }
            }
            match rest {
                Some(rest) => request = rest,
                None => return,
            }
        }
    }

    /// Waits until the pages of `run` are present.
    ///
    /// # Errors
    ///
    /// As [`PendingRead::step`]; EINTR if the task is killed.
    fn wait(&self, run: Run) -> Result {
        let wait = CountedWait::new(&self.mount);
        let mut read = PendingRead::new(run, wait.since);
        let result = self.wait_in_steps(&mut read);
        read.leave(&self.mount.cache);
        result
    }

    fn wait_in_steps(&self, read: &mut PendingRead<Cache>) -> Result {
        loop {
            let step = read.step(&self.mount, &self.object);
            let slept = match step.map_err(error)? {
                Step::Ready => return Ok(()),
                Step::WaitForSession(limit) => self.mount.wait_for_session(limit),
                Step::WaitForRequest(limit) => {
                    let woken = || read.is_woken(&self.mount);
                    self.object.waiters().wait(limit, woken)
                }
            };
            // The next step finds the pages present, or that no time is left.
            slept.or_else(|error| {
                if error == ETIMEDOUT {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
        }
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        self.mount.cache.release(&self.object);
    }
}

/// A wait of a task, counted until it is dropped.
struct CountedWait<'a> {
    mount: &'a Arc<OnDemandMount>,
    since: Instant<Monotonic>,
}

impl<'a> CountedWait<'a> {
    fn new(mount: &'a Arc<OnDemandMount>) -> Self {
        let since = mount.begin_wait();
        Self { mount, since }
    }
}

impl Drop for CountedWait<'_> {
    fn drop(&mut self) {
        self.mount.end_wait(self.since);
    }
}
