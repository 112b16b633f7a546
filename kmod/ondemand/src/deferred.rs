// SPDX-License-Identifier: GPL-2.0

//! Deferred reads: reads of locked folios that wait without a task.
//!
//! Readahead hands its folios over and returns. A read waits in the list of its
//! object under what it waits for: a request, or a session. The end of a request makes
//! the reads runnable that wait for it, and no others; a worker of the object steps
//! those, until their pages are present or cannot come. A task that needs one of the
//! folios waits for the folio's lock; if the read has failed, the task reads the page
//! again and gets the errno from there.

use crate::{
    completion::RequestObject,
    deferred_list::{DeferredList, DeferredMemory, WaitFor},
    platform::{CacheOps, MountOps},
    read::{PendingRead, Step},
    run::Run,
    suspend::is_suspending,
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

/// The list of an object.
pub type List<C, F> = DeferredList<C, DeferredRead<C, F>>;

/// An object whose list of deferred reads has a lock.
pub trait HasDeferred<C: CacheOps, F: Folios<C>> {
    /// Calls `change` with exclusive access to the list.
    fn with_deferred<T>(&self, change: impl FnOnce(&mut List<C, F>) -> T) -> T;
}

/// A read of folios whose pages are not all present. Dropping it drops its folios.
pub struct DeferredRead<C: CacheOps, F: Folios<C>> {
    object: C::Object,
    mount: C::Mount,
    read: PendingRead<C>,
    pages: u64,
    /// Taken when the read starts its I/O, or fails.
    folios: Option<F>,
}

impl<C: CacheOps, F: Folios<C>> DeferredRead<C, F> {
    /// A read that has not submitted a request. It is counted from now on: see
    /// [`DeferredCount`](crate::deferred_count::DeferredCount).
    ///
    /// # Errors
    ///
    /// Gives the folios back if those of the mount's deferred reads are too many. A task
    /// that needs one of them waits for it by itself, and holds no others.
    pub fn new(mount: C::Mount, object: C::Object, folios: F) -> Result<Self, F> {
        let run = folios.run();
        if !mount.deferred_pages().try_add(run.count) {
            return Err(folios);
        }
        let read = PendingRead::of_readahead(run, mount.begin_wait());
        object.deferred_count().increment();
        if mount.limit().is_some() {
            mount.start_timer();
        }
        Ok(Self {
            object,
            mount,
            read,
            pages: run.count,
            folios: Some(folios),
        })
    }

    /// Goes on as far as possible without sleeping. Returns what the read still waits
    /// for.
    pub fn step(&mut self) -> Option<WaitFor> {
        let mut step = self.read.step(&self.mount, &self.object);
        if let Ok(Step::WaitForSession(_) | Step::WaitForRequest(_)) = step {
            if !is_suspending(self.mount.cache()) {
                return Some(self.read.waits_for());
            }
            step = Err(Errno::EAGAIN);
        }
        if let Some(folios) = self.folios.take() {
            match step {
                Ok(_) => folios.start(&self.object),
                Err(errno) => folios.fail(errno),
            }
        }
        None
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
        self.read.leave(self.mount.cache());
        self.mount.deferred_pages().remove(self.pages);
        self.object.deferred_count().decrement();
        self.mount.end_wait(self.read.since());
    }
}

/// Leaves a read to the worker of its object, whose list `list` has. Without memory,
/// drops the read.
///
/// The worker, and not the caller, submits its requests: the caller may hold locks of
/// the file system that the module is mounted on.
pub fn defer<C: CacheOps, F: Folios<C>>(list: &impl HasDeferred<C, F>, read: DeferredRead<C, F>) {
    let Some(memory) = DeferredMemory::new() else {
        return;
    };
    let object = read.object.clone();
    list.with_deferred(|list| list.push(memory, WaitFor::Worker, read));
    object.queue_worker();
}

/// The worker of an object: steps the reads that are runnable, and puts those back that
/// still wait.
///
/// The wait of a read may be over before the read is in the list again. So the end
/// looks at the list after it has been published, and the worker looks at the end after
/// the read is in the list; the lock of the list orders the two:
///
/// ```text
/// CPU 1 (worker)                   CPU 2 (completion)
/// step: the request is pending
///                                  outcome = answered
///                                  lock list; no reads wait; unlock
/// lock list; add the read; unlock
/// outcome is set:
///   make the read runnable
/// ```
pub fn process<C: CacheOps, F: Folios<C>>(list: &impl HasDeferred<C, F>) {
    while let Some((memory, mut read)) = list.with_deferred(DeferredList::take) {
        let Some(wait_for) = read.step() else {
            continue;
        };
        let watch = read.read.watch(&read.mount);
        list.with_deferred(|list| list.push(memory, wait_for, read));
        if watch.is_over() {
            list.with_deferred(|list| list.release(wait_for));
        }
    }
}
