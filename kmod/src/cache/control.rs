// SPDX-License-Identifier: GPL-2.0

//! The cache: the daemon's session, the request table, and the objects.
//!
//! One lock guards the table. A read looks at the presence of its pages without
//! it, and again under it before it asks: a request that is not in the table any
//! more has ended, and what was written for it is seen by then.

use super::{
    counters::Counters,
    mounts::Mounts,
    names::Names,
    registry::{Registry, Role},
    table::{RequestTable, Slots},
    ticket::Ticket,
    Object, ObjectRef,
};
use crate::vfs::{Deferred, Store as Directory, Tick, WaitQueue};
use core::ops::Deref;
use kernel::{
    new_mutex, new_poll_condvar,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        lock::{mutex::MutexBackend, Guard},
        poll::PollCondVar,
        Arc,
        Mutex, //
    },
    time::Msecs,
};
use ondine_ondemand::requests::{Refusal, Table};

/// The cache, of which there is one.
#[pin_data]
pub(crate) struct Cache {
    #[pin]
    state: Mutex<State>,
    #[pin]
    registry: Mutex<Registry>,
    /// Held by who makes an object or removes a cache file: the registry itself
    /// is not kept from others while the file system is at work.
    #[pin]
    making: Mutex<()>,
    #[pin]
    mounts: Mutex<Mounts>,
    /// Daemons that wait for messages.
    #[pin]
    pollers: PollCondVar,
    /// Reads that wait for a daemon, any daemon.
    #[pin]
    sessions: WaitQueue,
    /// Whether there is a session; as the table says it.
    alive: Atomic<bool>,
    /// What became of reads, in all mounts that there were.
    counters: Counters,
    /// Bytes that daemons have brought into all objects that there were.
    filled: Atomic<u64>,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) table: RequestTable,
    /// Where cache files are made, while a daemon has the cache bound.
    store: Option<Arc<Directory>>,
    /// Per cent of the blocks there that are not to be used.
    stop: u8,
    /// Files that keep the cache from being opened: the device, and descriptors
    /// of objects.
    pins: u32,
    /// Extensions that the daemon has asked for.
    pub(crate) features: u64,
}

impl Cache {
    /// A cache without a daemon.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                state <- new_mutex!(
                    State {
                        table: Table::new(Slots::new(), Slots::new()),
                        store: None,
                        stop: 0,
                        pins: 0,
                        features: 0,
                    },
                    "ondine::Cache::state"
                ),
                registry <- new_mutex!(Registry::new(), "ondine::Cache::registry"),
                making <- new_mutex!((), "ondine::Cache::making"),
                mounts <- new_mutex!(Mounts::new(), "ondine::Cache::mounts"),
                pollers <- new_poll_condvar!("ondine::Cache::pollers"),
                sessions <- WaitQueue::new(),
                alive: Atomic::new(false),
                counters: Counters::new(),
                filled: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// The table and what goes with it. Not held while something is waited for.
    pub(crate) fn lock(&self) -> Guard<'_, State, MutexBackend> {
        self.state.lock()
    }

    /// Daemons that wait for messages.
    pub(crate) fn pollers(&self) -> &PollCondVar {
        &self.pollers
    }

    /// Whether there is a session.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Acquire)
    }

    /// The mounts.
    pub(super) fn mounts(&self) -> Guard<'_, Mounts, MutexBackend> {
        self.mounts.lock()
    }

    /// What all mounts count together, but for hits.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Some more bytes of an object have become present.
    pub(crate) fn add_filled(&self, bytes: u64) {
        self.filled.fetch_add(bytes, Relaxed);
    }

    /// Bytes that daemons have brought into all objects that there were.
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Relaxed)
    }

    /// A daemon opens the cache.
    ///
    /// # Errors
    ///
    /// EBUSY while files of another one are open.
    pub(crate) fn attach(this: Arc<Self>) -> Result<Attached> {
        let mut state = this.lock();
        if state.pins != 0 {
            return Err(EBUSY);
        }
        state.pins = 1;
        state.features = 0;
        drop(state);
        Ok(Attached(this))
    }

    /// One more file that keeps others from opening the cache.
    pub(crate) fn pin(&self) {
        let mut state = self.lock();
        state.pins = state.pins.wrapping_add(1);
    }

    /// One less.
    pub(crate) fn unpin(&self) {
        let mut state = self.lock();
        let unbound = state.unpin();
        drop(state);
        drop(unbound);
    }

    /// The daemon binds the cache to a directory: requests are served from now
    /// on, also for mounts that are there already.
    pub(crate) fn bind(&self, store: Arc<Directory>, stop: u8) {
        let mut state = self.lock();
        state.store = Some(store);
        state.stop = stop;
        state.table.start();
        self.alive.store(true, Release);
        drop(state);
        self.look_again();
    }

    /// Where cache files are made.
    ///
    /// # Errors
    ///
    /// ENOBUFS if no directory is bound.
    pub(crate) fn store(&self) -> Result<Arc<Directory>> {
        self.lock().store.clone().ok_or(ENOBUFS)
    }

    /// The daemon is gone: what it was asked ends.
    fn detach(&self) {
        let mut state = self.lock();
        self.alive.store(false, Release);
        state.table.die(|ticket, outcome| ticket.cancel(outcome));
        let unbound = state.unpin();
        drop(state);
        drop(unbound);
        self.pollers.notify_all();
    }

    /// Whether there is room to fill cache files.
    ///
    /// # Errors
    ///
    /// ENOBUFS if there is not, or no session.
    pub(crate) fn check_room(&self) -> Result {
        let state = self.lock();
        let stop = u64::from(state.stop);
        let store = state.store.clone().ok_or(ENOBUFS)?;
        drop(state);
        if store.room()?.blocks < stop {
            return Err(ENOBUFS);
        }
        Ok(())
    }

    /// Has everyone who waits look whether he still should.
    pub(super) fn look_again(&self) {
        self.sessions.wake_all();
        for object in self.registry.lock().objects() {
            object.waiters().wake_all();
            Deferred::kick(object);
        }
    }

    /// Waits until there is a session, or `given_up` says so.
    ///
    /// # Errors
    ///
    /// As [`WaitQueue::wait`].
    pub(super) fn wait_for_session(
        &self,
        limit: Option<Msecs>,
        given_up: impl Fn() -> bool,
    ) -> Result {
        self.sessions.wait(limit, || self.is_alive() || given_up())
    }

    /// The object of a mount, which the daemon is asked to open.
    ///
    /// # Errors
    ///
    /// ENOBUFS if no directory is bound, none can hold the object, or the daemon
    /// is gone; EBUSY, EEXIST and EINVAL as [`Registry::find`]; ENOMEM.
    pub(super) fn object(
        &self,
        volume: &[u8],
        shared: bool,
        cookie: &[u8],
        role: Role,
    ) -> Result<ObjectRef> {
        let object = self.find_or_make(volume, shared, cookie, role)?;
        match self.open(&object) {
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
        let _making = self.making.lock();
        let found = self.registry.lock().find(volume, shared, cookie, role)?;
        if let Some(object) = found {
            return Ok(object);
        }
        let store = self.store()?;
        let names = Names::new(volume, cookie).map_err(|_| ENOBUFS)?;
        let file = store.file(&names.path()).map_err(|_| ENOBUFS)?;
        let mut registry = self.registry.lock();
        let object = Object::new(registry.new_key(), volume, cookie, file)?;
        registry.add(object.clone(), shared)?;
        Ok(object)
    }

    /// Asks the daemon to open an object, if its size is not known and it is not
    /// being asked already; `None` if it is known.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) fn open(
        &self,
        object: &ObjectRef,
    ) -> core::result::Result<Option<Arc<Ticket>>, Refusal> {
        let mut state = self.lock();
        // Only under the lock: the OPEN that told it is not in the table any more.
        if object.contents().is_some() {
            return Ok(None);
        }
        let ticket = state.open(object)?;
        drop(state);
        self.pollers.notify_all();
        Ok(Some(ticket))
    }

    /// A blob of a mount is gone. With the last one the object goes, and the
    /// daemon is told.
    pub(super) fn release(&self, object: &ObjectRef) {
        let last = self.registry.lock().release(object.key());
        if !last {
            return;
        }
        object.set_dropped();
        let end = |ticket: Arc<Ticket>, outcome| ticket.cancel(outcome);
        self.lock().table.drop_object(object.key(), end);
        // There may be a CLOSE to read, and the object's descriptor hangs up.
        self.pollers.notify_all();
    }

    /// Whether a mount uses the cache file with these names.
    pub(crate) fn uses(&self, file: impl FnMut(&Object) -> bool) -> bool {
        self.registry.lock().any(file)
    }

    /// Keeps mounts from beginning to use a cache file.
    pub(crate) fn hold(&self) -> Guard<'_, (), MutexBackend> {
        self.making.lock()
    }
}

impl Tick for Cache {
    /// Looks whether reads that are parked have waited too long.
    fn tick(&self) -> bool {
        let registry = self.registry.lock();
        let parked = registry.objects().filter(|object| object.has_parked());
        parked.inspect(|object| Deferred::kick(object)).count() != 0
    }
}

/// A cache that a daemon has open; its drop ends the session.
pub(crate) struct Attached(Arc<Cache>);

impl Deref for Attached {
    type Target = Arc<Cache>;

    fn deref(&self) -> &Arc<Cache> {
        &self.0
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.detach();
    }
}

impl State {
    /// One file less keeps the cache from being opened. With the last one it is
    /// bound to no directory any more.
    fn unpin(&mut self) -> Option<Arc<Directory>> {
        self.pins = self.pins.wrapping_sub(1);
        self.store.take_if(|_| self.pins == 0)
    }
}
