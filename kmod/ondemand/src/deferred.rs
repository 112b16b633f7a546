// SPDX-License-Identifier: GPL-2.0

//! Deferred reads: reads of locked folios that wait without a task.
//!
//! Readahead hands its folios over and returns. A worker of the object steps each
//! read whenever a request of the object ends, until its pages are present or
//! cannot come. A task that needs one of the folios waits for the folio's lock; if
//! the read has failed, the task reads the page again and gets the errno from there.

use crate::{
    completion::RequestObject,
    platform::{CacheOps, MountOps},
    read::{PendingRead, Step},
    run::Run,
    Errno,
};

/// The folios of a deferred read.
pub trait Folios<C: CacheOps> {
    /// The pages of the object that fill them.
    fn run(&self) -> Run;

    /// Starts the I/O from the cache file, where all pages are present.
    fn start(self, object: &C::Object);

    /// Ends the read with an error.
    fn fail(self, errno: Errno);
}

/// The list of an object's deferred reads, with a lock of its own.
pub trait DeferredList<C: CacheOps, F: Folios<C>> {
    /// The reads, taken out of the list.
    type Reads: IntoIterator<Item = DeferredRead<C, F>>;

    /// Adds a read; without memory, drops it.
    fn push(&self, read: DeferredRead<C, F>);

    /// Takes all reads.
    fn take(&self) -> Self::Reads;
}

/// A read of folios whose pages are not all present. Dropping it drops its folios.
pub struct DeferredRead<C: CacheOps, F: Folios<C>> {
    object: C::Object,
    mount: C::Mount,
    read: PendingRead<C>,
    /// Taken when the read starts its I/O, or fails.
    folios: Option<F>,
}

impl<C: CacheOps, F: Folios<C>> DeferredRead<C, F> {
    /// A read that has not submitted a request. It is counted from now on: see
    /// [`DeferredCount`](crate::deferred_count::DeferredCount).
    pub fn new(mount: C::Mount, object: C::Object, folios: F) -> Self {
        let read = PendingRead::new(folios.run(), mount.begin_wait());
        object.deferred_count().increment();
        if mount.limit().is_some() {
            mount.start_timer();
        }
        Self {
            object,
            mount,
            read,
            folios: Some(folios),
        }
    }

    /// Goes on as far as possible without sleeping. Returns whether the read still
    /// waits.
    pub fn step(&mut self) -> bool {
        let step = self.read.step(&self.mount, &self.object);
        if let Ok(Step::WaitForSession(_) | Step::WaitForRequest(_)) = step {
            return true;
        }
        if let Some(folios) = self.folios.take() {
            match step {
                Ok(_) => folios.start(&self.object),
                Err(errno) => folios.fail(errno),
            }
        }
        false
    }

    /// The folios, until the read is over.
    pub fn folios(&self) -> Option<&F> {
        self.folios.as_ref()
    }

    /// The mount.
    pub fn mount(&self) -> &C::Mount {
        &self.mount
    }

    /// The pending read.
    pub fn read(&self) -> &PendingRead<C> {
        &self.read
    }
}

impl<C: CacheOps, F: Folios<C>> Drop for DeferredRead<C, F> {
    fn drop(&mut self) {
        self.object.deferred_count().decrement();
        self.mount.end_wait(self.read.since());
    }
}

/// Leaves a read to the worker of its object, which has the list `list`.
///
/// The worker, and not the caller, submits its requests: the caller may hold locks of
/// the file system that the module is mounted on.
pub fn defer<C: CacheOps, F: Folios<C>>(list: &impl DeferredList<C, F>, read: DeferredRead<C, F>) {
    let object = read.object.clone();
    list.push(read);
    object.queue_worker();
}

/// The worker of an object: steps the reads of `list`, and keeps those that still
/// wait.
///
/// A completion that comes while a read is in no list queues the worker again, as
/// the read is counted still; a call of the worker that is queued while it runs is
/// not lost.
pub fn process<C: CacheOps, F: Folios<C>>(list: &impl DeferredList<C, F>) {
    for mut read in list.take() {
        if read.step() {
            list.push(read);
        }
    }
}
