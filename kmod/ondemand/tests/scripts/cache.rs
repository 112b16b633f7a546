// SPDX-License-Identifier: GPL-2.0

//! The kernel services of a cache: memory, cache files, wait queues and a clock, for one thread.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;

use ondine_model::protocol::{Blob, Options, Waiter};
use ondine_ondemand::completion::{Event, RequestObject};
use ondine_ondemand::deferred::{self, HasDeferred, List};
use ondine_ondemand::deferred_count::{DeferredCount, DeferredPages};
use ondine_ondemand::deferred_list::WaitFor;
use ondine_ondemand::page::{pages_of, PAGE_SHIFT};
use ondine_ondemand::platform::{CacheOps, MountOps, ObjectOps};
use ondine_ondemand::presence::words_for;
use ondine_ondemand::requests::{Config, Lane};
use ondine_ondemand::state::{Memory, State};
use ondine_ondemand::sync::{AtomicBool, AtomicU64};
use ondine_ondemand::{session, Completion, Errno, Run};

use super::task::Sleeper;
use super::tree::Tree;

/// The volume of all blobs.
pub(crate) const VOLUME: &[u8] = b"erofs,domain";

/// Percentage of blocks that must stay free.
pub(crate) const STOP: u8 = 5;

/// Milliseconds of a mount's time limit.
const LIMIT: u32 = 5000;

/// A request that has ended: its object, its pages, of which an OPEN has none, and its result.
pub(crate) type Ended = (Blob, Option<Run>, Result<(), Errno>);

pub(crate) type Contents = ondine_ondemand::Contents<Vec<AtomicU64>>;

/// The cache, and what was seen of it since the last look.
pub(crate) struct Cache {
    state: RefCell<State<Cache>>,
    alive: AtomicBool,
    suspending: AtomicBool,
    /// Each object in use, and how many uses it has.
    entries: RefCell<Vec<(ObjectRef, usize)>>,
    next_key: Cell<u64>,
    files: RefCell<BTreeMap<Blob, File>>,
    /// Percentage of blocks that are free.
    pub(crate) free: Cell<u64>,
    /// The task that is inside; its waits are told apart by it.
    pub(crate) current: Cell<Option<Waiter>>,
    /// Waits that have lasted longer than any limit.
    pub(crate) expired: RefCell<BTreeSet<Waiter>>,
    /// Tasks that wait for a session.
    pub(crate) sessions: RefCell<Vec<Rc<Sleeper>>>,
    /// Another task's deed, done when the state is locked next.
    pub(crate) before_lock: RefCell<Option<Box<dyn FnOnce()>>>,
    /// Tasks that poll were woken.
    pub(crate) notified: Cell<bool>,
    /// Requests that have not ended, and whether they were submitted by the present event.
    pub(crate) pending: RefCell<Vec<(u64, Run, bool)>>,
    pub(crate) ended: RefCell<Vec<Ended>>,
    /// Submitted READs, as mounts count them.
    pub(crate) submitted: Cell<u64>,
    /// READs, as they are traced.
    pub(crate) traced: Cell<u64>,
}

/// A cache file: the pages that its extents have, and the size that it was made for.
#[derive(Debug, Default)]
struct File {
    recorded: Option<u64>,
    pages: BTreeSet<u64>,
}

/// A blob in use.
pub(crate) struct Object {
    cache: Rc<Cache>,
    key: u64,
    pub(crate) blob: Blob,
    cookie: [u8; 1],
    contents: OnceCell<Contents>,
    dropped: Cell<bool>,
    deferred_prefetch: RefCell<Run>,
    pub(crate) sleepers: RefCell<Vec<Rc<Sleeper>>>,
    pub(crate) deferred: RefCell<List<Cache, Folios>>,
    count: DeferredCount,
    /// The worker is queued.
    pub(crate) queued: Cell<bool>,
    /// Deferred reads that had a reason to go on when it was.
    pub(crate) woken: RefCell<BTreeSet<Waiter>>,
}

#[derive(Clone)]
pub(crate) struct ObjectRef(Rc<Object>);

impl Deref for ObjectRef {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

/// A mount, as its reads see it.
#[derive(Clone)]
pub(crate) struct MountRef(Rc<Mount>);

pub(crate) struct Mount {
    cache: Rc<Cache>,
    pub(crate) options: Options,
    pub(crate) aborted: Cell<bool>,
    lane: Rc<Lane>,
    deferred_pages: DeferredPages,
}

impl MountRef {
    pub(crate) fn new(cache: &Rc<Cache>, number: u64, options: Options) -> Self {
        Self(Rc::new(Mount {
            cache: cache.clone(),
            options,
            aborted: Cell::new(false),
            lane: Rc::new(Lane::new(number + 1)),
            deferred_pages: DeferredPages::new(),
        }))
    }

    /// Returns whether both are the same mount.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for MountRef {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.0
    }
}

/// The folios of a deferred read, and where its result goes.
pub(crate) struct Folios {
    pub(crate) waiter: Waiter,
    pub(crate) run: Run,
    pub(crate) results: Rc<RefCell<BTreeMap<Waiter, Result<(), Errno>>>>,
}

pub(crate) type DeferredRead = deferred::DeferredRead<Cache, Folios>;

impl Cache {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(State::new()),
            alive: AtomicBool::new(false),
            suspending: AtomicBool::new(false),
            entries: RefCell::default(),
            next_key: Cell::new(1),
            files: RefCell::default(),
            free: Cell::new(100),
            current: Cell::new(None),
            expired: RefCell::default(),
            sessions: RefCell::default(),
            before_lock: RefCell::default(),
            notified: Cell::new(false),
            pending: RefCell::default(),
            ended: RefCell::default(),
            submitted: Cell::new(0),
            traced: Cell::new(0),
        })
    }

    /// The object of a mount, which the daemon is asked to open.
    pub(crate) fn object(self: &Rc<Self>, blob: Blob) -> Result<ObjectRef, Errno> {
        let object = self.find_or_make(blob)?;
        match session::open(&**self, &object) {
            Ok(_) => Ok(object),
            Err(_) => {
                self.release(&object);
                Err(Errno::ENOBUFS)
            }
        }
    }

    fn find_or_make(self: &Rc<Self>, blob: Blob) -> Result<ObjectRef, Errno> {
        let mut entries = self.entries.borrow_mut();
        if let Some((object, users)) = entries.iter_mut().find(|(one, _)| one.blob == blob) {
            *users += 1;
            return Ok(object.clone());
        }
        self.lock().directory()?;
        let object = ObjectRef(Rc::new(Object {
            cache: self.clone(),
            key: self.next_key.get(),
            blob,
            cookie: [b'a' + blob.0],
            contents: OnceCell::new(),
            dropped: Cell::new(false),
            deferred_prefetch: RefCell::new(Run::EMPTY),
            sleepers: RefCell::default(),
            deferred: RefCell::default(),
            count: DeferredCount::new(),
            queued: Cell::new(false),
            woken: RefCell::default(),
        }));
        self.next_key.set(object.key + 1);
        entries.push((object.clone(), 1));
        Ok(object)
    }

    /// A use of the object is over.
    pub(crate) fn release(&self, object: &ObjectRef) {
        let mut entries = self.entries.borrow_mut();
        let at = entries.iter().position(|(one, _)| one.key == object.key);
        let at = at.expect("each use is released once");
        entries[at].1 -= 1;
        if entries[at].1 != 0 {
            return;
        }
        entries.remove(at);
        drop(entries);
        object.dropped.set(true);
        session::drop_object(self, object);
    }

    /// The daemon says how large the object is.
    pub(crate) fn set_size(&self, object: &Object, size: u64) -> Result<(), Errno> {
        if let Some(contents) = object.contents.get() {
            let same = contents.size() == size;
            return same.then_some(()).ok_or(Errno::EINVAL);
        }
        let mut files = self.files.borrow_mut();
        let file = files.entry(object.blob).or_default();
        if file.recorded != Some(size) {
            file.pages.clear();
        }
        file.recorded = Some(size);
        let words = (0..words_for(pages_of(size))).map(|_| AtomicU64::new(0));
        let contents = Contents::new(size, words.collect()).expect("a file can be that large");
        for page in &file.pages {
            contents.add(page << PAGE_SHIFT, 1 << PAGE_SHIFT);
        }
        assert!(object.contents.set(contents).is_ok());
        Ok(())
    }

    /// The daemon writes whole pages.
    pub(crate) fn write(&self, object: &ObjectRef, run: Run) -> Result<(), Errno> {
        if !object.is_open() {
            return Err(Errno::ENOBUFS);
        }
        session::check_room(self, |()| Ok(self.free.get()))?;
        let mut files = self.files.borrow_mut();
        let file = files.entry(object.blob).or_default();
        file.pages.extend(run.first..run.end());
        if let Some(contents) = object.contents.get() {
            contents.add(run.first << PAGE_SHIFT, run.count << PAGE_SHIFT);
        }
        Ok(())
    }

    /// The objects in use.
    pub(crate) fn objects(&self) -> Vec<ObjectRef> {
        let entries = self.entries.borrow();
        entries.iter().map(|(object, _)| object.clone()).collect()
    }
}

/// A wait queue is woken: each task looks at its condition now, and at no other time.
fn wake(queue: &RefCell<Vec<Rc<Sleeper>>>) {
    for sleeper in queue.borrow().iter() {
        sleeper.look();
    }
}

impl Config for Cache {
    type Completion = Rc<Completion<ObjectRef>>;
    type Object = ObjectRef;
    type Lane = Rc<Lane>;
    type Map<K: Copy + Ord, V> = Tree<K, V>;
}

impl Memory for Cache {
    type Directory = ();
    type CompletionMemory = ();

    fn completion_memory() -> Option<()> {
        Some(())
    }

    fn completion((): (), completion: Completion<ObjectRef>) -> Self::Completion {
        Rc::new(completion)
    }
}

impl CacheOps for Cache {
    type Words = Vec<AtomicU64>;
    type Mount = MountRef;
    type Instant = Option<Waiter>;
    type Guard<'a> = RefMut<'a, State<Self>>;

    /// So few that the blobs of the scripts need several READs.
    const READ_PAGES: u64 = 2;

    fn lock(&self) -> RefMut<'_, State<Self>> {
        let deed = self.before_lock.take();
        if let Some(deed) = deed {
            deed();
        }
        self.state.borrow_mut()
    }

    fn alive(&self) -> &AtomicBool {
        &self.alive
    }

    fn suspending(&self) -> &AtomicBool {
        &self.suspending
    }

    fn wake_pollers(&self) {
        self.notified.set(true);
    }

    fn wake_all_waiters(&self) {
        wake(&self.sessions);
        for object in self.objects() {
            object.wake_waiters();
            object.deferred.borrow_mut().release_all();
            object.queue_worker();
        }
    }
}

impl RequestObject for ObjectRef {
    fn key(&self) -> u64 {
        self.key
    }

    fn trace(&self, event: Event, run: Run, result: Result<(), Errno>) {
        let mut pending = self.cache.pending.borrow_mut();
        match event {
            Event::Submit => {
                pending.push((self.key, run, true));
                let reads = u64::from(run != Run::EMPTY);
                self.cache.traced.set(self.cache.traced.get() + reads);
            }
            Event::Deliver => {}
            Event::Complete | Event::Cancel => {
                let at = pending
                    .iter()
                    .position(|(key, of, _)| (*key, *of) == (self.key, run));
                let (.., is_new) = pending.remove(at.expect("a request ends once"));
                // Nobody has seen a request that its own event ends.
                if is_new {
                    return;
                }
                let run = Some(run).filter(|run| *run != Run::EMPTY);
                let mut ended = self.cache.ended.borrow_mut();
                ended.push((self.blob, run, result));
            }
        }
    }

    fn wake_waiters(&self) {
        wake(&self.sleepers);
    }

    fn deferred_count(&self) -> &DeferredCount {
        &self.count
    }

    fn release_deferred(&self, wait_for: WaitFor) -> bool {
        self.deferred.borrow_mut().release(wait_for)
    }

    fn queue_worker(&self) {
        self.queued.set(true);
        self.deferred.borrow().for_each(|_, _, read| {
            if read.read().is_woken(read.mount()) {
                let waiter = read.folios().map(|folios| folios.waiter);
                self.woken.borrow_mut().extend(waiter);
            }
        });
    }
}

impl ObjectOps<Cache> for ObjectRef {
    fn volume(&self) -> &[u8] {
        VOLUME
    }

    fn cookie(&self) -> &[u8] {
        &self.cookie
    }

    fn contents(&self) -> Option<&Contents> {
        self.contents.get()
    }

    fn is_dropped(&self) -> bool {
        self.dropped.get()
    }

    fn with_deferred_prefetch<R>(&self, change: impl FnOnce(&mut Run) -> R) -> R {
        change(&mut self.deferred_prefetch.borrow_mut())
    }
}

impl MountOps<Cache> for MountRef {
    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn lane(&self) -> &Rc<Lane> {
        &self.lane
    }

    fn is_hard(&self) -> bool {
        self.options.wait_for_session
    }

    fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    fn limit(&self) -> Option<u32> {
        self.options.time_limit.then_some(LIMIT)
    }

    fn elapsed(&self, since: Option<Waiter>) -> i64 {
        let expired = self.cache.expired.borrow();
        match since.filter(|waiter| expired.contains(waiter)) {
            Some(_) => i64::from(LIMIT),
            None => i64::from(LIMIT) - 1,
        }
    }

    fn begin_wait(&self) -> Option<Waiter> {
        self.cache.current.get()
    }

    fn end_wait(&self, _since: Option<Waiter>) {}

    fn deferred_pages(&self) -> &DeferredPages {
        &self.deferred_pages
    }

    fn count_requests(&self, requests: u64) {
        self.cache
            .submitted
            .set(self.cache.submitted.get() + requests);
    }

    fn count_merged(&self) {}

    fn start_timer(&self) {}
}

impl deferred::Folios<Cache> for Folios {
    fn run(&self) -> Run {
        self.run
    }

    fn start(self, object: &ObjectRef) {
        assert!(object.has(self.run), "a read starts without its pages");
        self.results.borrow_mut().insert(self.waiter, Ok(()));
    }

    fn fail(self, errno: Errno) {
        self.results.borrow_mut().insert(self.waiter, Err(errno));
    }
}

impl HasDeferred<Cache, Folios> for Object {
    fn with_deferred<T>(&self, change: impl FnOnce(&mut List<Cache, Folios>) -> T) -> T {
        change(&mut self.deferred.borrow_mut())
    }
}
