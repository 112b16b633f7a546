// SPDX-License-Identifier: GPL-2.0

//! The cache: the daemon's session, the request table, and the objects.
//!
//! One lock guards the table. A read looks at the presence of its pages without
//! it, and again under it before it asks: a request that is not in the table any
//! more has ended, and what was written for it is seen by then.

use super::{
    counters::Counters,
    names::Names,
    registry::{Registry, Role},
    ticket::Ticket,
    Object, ObjectRef,
};
use crate::vfs::{Deferred, Event, Store as Directory, Tick, WaitQueue};
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
use ondine_ondemand::{
    requests::{self, Refusal, Request, Store, Table},
    Run,
};

/// The cache, of which there is one.
#[pin_data]
pub(crate) struct Cache {
    #[pin]
    state: Mutex<State>,
    #[pin]
    registry: Mutex<Registry>,
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

/// The request table, as it is used here.
pub(crate) type RequestTable =
    Table<Arc<Ticket>, ObjectRef, Slots<Request<Arc<Ticket>>>, Slots<requests::Object<ObjectRef>>>;

/// Room in the kernel's memory.
pub(crate) struct Slots<T>(KVec<T>);

impl<T> Slots<T> {
    /// Makes room for at least `more` further items.
    fn reserve(&mut self, more: usize) -> Result {
        Ok(self.0.reserve(more, GFP_KERNEL)?)
    }
}

impl<T> Store<T> for Slots<T> {
    fn as_slice(&self) -> &[T] {
        &self.0
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn room(&self) -> usize {
        self.0.capacity().saturating_sub(self.0.len())
    }

    fn push(&mut self, item: T) -> core::result::Result<(), T> {
        self.0.push_within_capacity(item).map_err(|error| error.0)
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        self.0.remove(index).ok()
    }
}

impl Cache {
    /// A cache without a daemon.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                state <- new_mutex!(
                    State {
                        table: Table::new(Slots(KVec::new()), Slots(KVec::new())),
                        store: None,
                        stop: 0,
                        pins: 0,
                        features: 0,
                    },
                    "ondine::Cache::state"
                ),
                registry <- new_mutex!(Registry::new(), "ondine::Cache::registry"),
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

    /// What all mounts count together.
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

    /// The daemon is gone: what it was asked ends.
    fn detach(&self) {
        let mut state = self.lock();
        self.alive.store(false, Release);
        state.table.die(|ticket, outcome| ticket.end(outcome));
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

    /// Asks for what is missing of `run`, in pieces of at most `piece` pages,
    /// and joins the request of the first missing page for one who waits.
    ///
    /// `None` if nothing is missing.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) fn ask(
        &self,
        object: &ObjectRef,
        run: Run,
        piece: u64,
        waits: bool,
    ) -> core::result::Result<Option<Asked>, Refusal> {
        let contents = object.contents().ok_or(Refusal::Dropped)?;
        let presence = contents.presence();
        let mut state = self.lock();
        // Only now: see the module's documentation.
        let Some(first) = presence.first_missing(run.first, run.count) else {
            return Ok(None);
        };
        let mut asked = 0;
        let mut readable = false;
        let mut at = first;
        while let Some(missing) = presence.missing_run(at, run.end().saturating_sub(at)) {
            let missing = Run {
                count: missing.count.min(piece),
                ..missing
            };
            at = missing.end();
            while let Some(part) = state.table.uncovered(object.key(), missing) {
                readable |= state.read(object, part)?;
                asked += 1;
            }
        }
        let joined = if waits {
            state.table.join(object.key(), first)
        } else {
            None
        };
        drop(state);
        if readable {
            self.pollers.notify_all();
        }
        Ok(Some(Asked {
            first,
            asked,
            joined,
        }))
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
        let mut registry = self.registry.lock();
        if let Some(object) = registry.find(volume, shared, cookie, role)? {
            return Ok(object);
        }
        let store = self.lock().store.clone().ok_or(ENOBUFS)?;
        let names = Names::new(volume, cookie).map_err(|_| ENOBUFS)?;
        let file = store.file(&names.path()).map_err(|_| ENOBUFS)?;
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
        if object.contents().is_some() {
            return Ok(None);
        }
        let ticket = self.lock().open(object)?;
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
        let end = |ticket: Arc<Ticket>, outcome| ticket.end(outcome);
        self.lock().table.drop_object(object.key(), end);
        // There may be a CLOSE to read, and the object's descriptor hangs up.
        self.pollers.notify_all();
    }

    /// Whether a mount uses the cache file with these names.
    pub(crate) fn uses(&self, file: impl FnMut(&Object) -> bool) -> bool {
        self.registry.lock().any(file)
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

/// What asking for missing pages came to.
pub(super) struct Asked {
    /// The first page that is missing.
    pub(super) first: u64,
    /// Requests that it took.
    pub(super) asked: u64,
    /// The request of the first page, for one who waits.
    pub(super) joined: Option<Arc<Ticket>>,
}

impl State {
    /// One file less keeps the cache from being opened. With the last one it is
    /// bound to no directory any more.
    fn unpin(&mut self) -> Option<Arc<Directory>> {
        self.pins = self.pins.wrapping_sub(1);
        self.store.take_if(|_| self.pins == 0)
    }

    /// Puts an OPEN into the table, or joins the one that is there.
    fn open(&mut self, object: &ObjectRef) -> core::result::Result<Arc<Ticket>, Refusal> {
        if let Some(ticket) = self.table.join_open(object.key()) {
            return Ok(ticket);
        }
        let ticket = self.ticket(object, Run::EMPTY)?;
        if !self.table.knows(object.key()) {
            self.table.add_object(object.key(), object.clone())?;
        }
        self.table.open(object.key(), ticket.clone())?;
        object.trace(Event::Submit, ticket.run(), Ok(()));
        Ok(ticket)
    }

    /// Puts a READ into the table. Returns whether the daemon has something to
    /// read.
    fn read(&mut self, object: &ObjectRef, run: Run) -> core::result::Result<bool, Refusal> {
        let ticket = self.ticket(object, run)?;
        let readable = self.table.read(object.key(), run, ticket)?;
        object.trace(Event::Submit, run, Ok(()));
        Ok(readable)
    }

    /// A ticket, and room for its request.
    fn ticket(
        &mut self,
        object: &ObjectRef,
        run: Run,
    ) -> core::result::Result<Arc<Ticket>, Refusal> {
        let more = self.table.room_wanted();
        let (requests, objects) = self.table.stores();
        let room = requests.reserve(more).and_then(|()| objects.reserve(1));
        room.map_err(|_| Refusal::Full)?;
        Arc::new(Ticket::new(object, run), GFP_KERNEL).map_err(|_| Refusal::Full)
    }
}
