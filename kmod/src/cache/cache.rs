// SPDX-License-Identifier: GPL-2.0

//! The cache: its locks, its waiters and its objects.

use super::{
    counters::Counters,
    errno, error,
    mount_list::MountList,
    path::CacheFilePath,
    registry::{Found, Registry, Role},
    Object, ObjectRef, OnDemandMount,
};
use crate::vfs::{CacheDir, SuspendHandler, TimerHandler, Unfit, WaitQueue};
use core::ops::Deref;
use kernel::{
    new_mutex, new_poll_condvar,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        poll::PollCondVar,
        Arc,
        Mutex, //
    },
    time::{Instant, Monotonic},
};
use ondine_ondemand::{
    completion::RequestObject,
    platform::{CacheOps, ObjectOps},
    requests::Refusal,
    session,
    state::State,
    suspend,
    sync::{AtomicBool, AtomicU64},
};

/// The cache of the module.
///
/// See the [module](super) for the lock order.
#[pin_data]
pub(crate) struct Cache {
    /// Request table and session.
    #[pin]
    state: Mutex<State<Cache>>,
    /// True if there is a session; written with `state` held.
    alive: AtomicBool,
    #[pin]
    registry: Mutex<Registry>,
    /// Held while an object is made or a cache file is removed.
    #[pin]
    making: Mutex<()>,
    #[pin]
    mounts: Mutex<MountList>,
    /// Tasks that poll the device or a descriptor.
    #[pin]
    pollers: PollCondVar,
    /// Tasks that wait for a session.
    #[pin]
    sessions: WaitQueue,
    /// Counters of all mounts, including former ones.
    counters: Counters,
    /// Bytes that daemons have written into all objects, including former ones.
    filled: Atomic<u64>,
    /// True while the system suspends: no read is deferred.
    suspending: AtomicBool,
    /// The number of the next mount's lane.
    lanes: Atomic<u64>,
}

impl Cache {
    /// A cache without a daemon.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                state <- new_mutex!(State::new(), "ondine::Cache::state"),
                alive: AtomicBool::new(false),
                registry <- new_mutex!(Registry::new(), "ondine::Cache::registry"),
                making <- new_mutex!((), "ondine::Cache::making"),
                mounts <- new_mutex!(MountList::new(), "ondine::Cache::mounts"),
                pollers <- new_poll_condvar!("ondine::Cache::pollers"),
                sessions <- WaitQueue::new(),
                counters: Counters::new(),
                filled: Atomic::new(0),
                suspending: AtomicBool::new(false),
                lanes: Atomic::new(1),
            }),
            GFP_KERNEL,
        )
    }

    /// Tasks that poll the device or a descriptor.
    pub(crate) fn pollers(&self) -> &PollCondVar {
        &self.pollers
    }

    /// Tasks that wait for a session.
    pub(super) fn sessions(&self) -> &WaitQueue {
        &self.sessions
    }

    /// The on-demand mounts.
    pub(super) fn mounts(&self) -> Guard<'_, MountList, MutexBackend> {
        self.mounts.lock()
    }

    /// Counters of all mounts, without hits.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that daemons have written into all objects, including former ones.
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Relaxed)
    }

    /// Attaches a daemon that opens the device.
    ///
    /// # Errors
    ///
    /// EBUSY while files of an earlier opening are in use.
    pub(crate) fn attach(this: Arc<Self>) -> Result<CacheAttachment> {
        this.lock().attach().map_err(error)?;
        Ok(CacheAttachment(this))
    }

    /// The cache directory.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the cache is not bound.
    pub(crate) fn dir(&self) -> Result<Arc<CacheDir>> {
        self.lock().directory().map_err(error)
    }

    /// Checks that the cache directory has room for a write.
    ///
    /// # Errors
    ///
    /// ENOBUFS if it has not, or if the cache is not bound.
    fn check_room(&self) -> Result {
        let free = |dir: &Arc<CacheDir>| Ok(dir.free_space().map_err(errno)?.blocks);
        session::check_room(self, free).map_err(error)
    }

    /// Wakes all waiting tasks to re-check their condition, makes all deferred reads
    /// runnable, and queues the workers of all objects.
    pub(super) fn wake_waiters(&self) {
        self.sessions.wake_all();
        for object in self.registry.lock().objects() {
            object.wake_waiters();
            object.deferred().lock().release_all();
            object.queue_worker();
        }
    }

    /// The number of a new mount's lane.
    pub(super) fn new_lane(&self) -> u64 {
        self.lanes.fetch_add(1, Relaxed)
    }

    /// Finds or makes the object of a mount, and asks the daemon to open it.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the cache is not bound, if the cache directory cannot hold the
    /// object, or if the daemon dies; EBUSY, EEXIST and EINVAL as
    /// [`Registry::find`]; EINTR if the task is killed while it waits for a write into
    /// the file of the object's former life; ENOMEM.
    pub(super) fn object(
        &self,
        volume: &[u8],
        shared: bool,
        cookie: &[u8],
        role: Role,
    ) -> Result<ObjectRef> {
        let object = self.find_or_make(volume, shared, cookie, role)?;
        match session::open(self, &object) {
            Ok(_) => Ok(object),
            Err(refusal) => {
                self.release(&object);
                Err(if refusal == Refusal::Full {
                    ENOMEM
                } else {
                    ENOBUFS
                })
            }
        }
    }

    fn find_or_make(
        &self,
        volume: &[u8],
        shared: bool,
        cookie: &[u8],
        role: Role,
    ) -> Result<ObjectRef> {
        let _making = loop {
            let making = self.making.lock();
            let found = self.registry.lock().find(volume, shared, cookie, role)?;
            match found {
                Found::Object(object) => return Ok(object),
                Found::Absent => break making,
                Found::Dropped(object) => {
                    drop(making);
                    let writers = object.writers();
                    object.waiters().wait(None, || writers.are_gone())?;
                    self.registry.lock().forget(object.key());
                }
            }
        };
        let dir = self.dir()?;
        let file = CacheFilePath::new(volume, cookie)
            .map_err(Unfit::from)
            .and_then(|path| dir.file(&path.components()))
            .map_err(|unfit| match unfit.log(cookie) {
                // Another try may find some.
                ENOMEM => ENOMEM,
                _ => ENOBUFS,
            })?;
        let mut registry = self.registry.lock();
        let object = ObjectRef::new(registry.new_key(), volume, cookie, file)?;
        registry.add(object.clone(), shared)?;
        Ok(object)
    }

    /// Drops a mount's use of an object. With the last one the object's requests end,
    /// and the daemon is told.
    pub(super) fn release(&self, object: &ObjectRef) {
        let last = self.registry.lock().release(object.key());
        if last {
            session::drop_object(self, object);
        }
    }

    /// Writes at `offset` of the cache file of `object`, the start of a page, what `write`
    /// brings of `len` bytes, and returns the number of bytes. `write` gets the number of
    /// bytes to write.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the object is not open, or if the cache directory has no room; as
    /// [`Object::write_pages`].
    pub(crate) fn write(
        &self,
        object: &ObjectRef,
        offset: u64,
        len: u64,
        write: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<u64> {
        let (written, added) = self.modify(object, || {
            if !object.is_open() {
                return Err(ENOBUFS);
            }
            self.check_room()?;
            object.write_pages(offset, len, write)
        })?;
        self.filled.fetch_add(added, Relaxed);
        Ok(written)
    }

    /// Sets the size of `object` that the daemon tells, in bytes.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the object is dropped; as [`Object::set_size`].
    pub(crate) fn set_size(&self, object: &ObjectRef, size: u64) -> Result {
        self.modify(object, || object.set_size(size))
    }

    /// Calls `modify`, which changes the cache file of `object`. The next object of the
    /// file waits until it has returned.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the object is dropped; those of `modify`.
    fn modify<T>(&self, object: &ObjectRef, modify: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = if object.writers().begin() {
            modify()
        } else {
            Err(ENOBUFS)
        };
        if object.writers().end() {
            self.registry.lock().forget(object.key());
            object.wake_waiters();
        }
        result
    }

    /// Returns whether `is` holds for any object whose file is in use.
    pub(crate) fn any_object(&self, is: impl FnMut(&Object) -> bool) -> bool {
        self.registry.lock().any(is)
    }

    /// Keeps mounts from making objects until the result is dropped.
    pub(crate) fn lock_making(&self) -> Guard<'_, (), MutexBackend> {
        self.making.lock()
    }
}

impl CacheOps for Cache {
    type Words = KVVec<AtomicU64>;
    type Mount = Arc<OnDemandMount>;
    type Instant = Instant<Monotonic>;
    type Guard<'a> = Guard<'a, State<Self>, MutexBackend>;

    fn lock(&self) -> Guard<'_, State<Self>, MutexBackend> {
        self.state.lock()
    }

    #[inline]
    fn alive(&self) -> &AtomicBool {
        &self.alive
    }

    fn suspending(&self) -> &AtomicBool {
        &self.suspending
    }

    fn wake_pollers(&self) {
        self.pollers.notify_all();
    }

    fn wake_all_waiters(&self) {
        self.wake_waiters();
    }
}

impl SuspendHandler for Cache {
    fn suspend(&self, begins: bool) {
        if begins {
            suspend::begin(self);
        } else {
            suspend::end(self);
        }
    }
}

impl TimerHandler for Cache {
    /// Has all deferred reads check their time limits.
    fn expired(&self) -> bool {
        let registry = self.registry.lock();
        let mut any = false;
        for object in registry.objects() {
            if !object.deferred_count().is_zero() {
                any = true;
                object.deferred().lock().release_all();
                object.queue_worker();
            }
        }
        any
    }
}

/// A cache that a daemon has attached; dropping it ends the session.
pub(crate) struct CacheAttachment(Arc<Cache>);

impl Deref for CacheAttachment {
    type Target = Arc<Cache>;

    fn deref(&self) -> &Arc<Cache> {
        &self.0
    }
}

impl Drop for CacheAttachment {
    fn drop(&mut self) {
        session::detach(&*self.0);
    }
}
