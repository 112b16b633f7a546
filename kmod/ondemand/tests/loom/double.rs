// SPDX-License-Identifier: GPL-2.0

//! The kernel services, with loom's locks: a cache with one object and one mount.

use crate::{
    completion::{Completion, Event, RequestObject},
    contents::Contents,
    deferred::{Folios, HasDeferred, List},
    deferred_count::{DeferredCount, DeferredPages},
    deferred_list::WaitFor,
    page::PAGE_SIZE,
    platform::{CacheOps, MountOps, ObjectOps},
    read::{PendingRead, Step},
    requests::{Config, Lane},
    run::Run,
    session,
    state::{Memory, State},
    sync::{AtomicBool, AtomicU64},
    tree::Tree,
    wait_queue::{WaitQueue, Work},
    Errno,
};
use loom::{
    sync::{
        atomic::{AtomicU8, Ordering::Relaxed},
        Mutex, MutexGuard,
    },
    thread,
};
use std::sync::{Arc, OnceLock};

/// A planted flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Presence is not tested again with the lock held.
    NoSecondTest,
    /// Waiters are woken before the outcome is set.
    WakeBeforeOutcome,
    /// The daemon completes a request before its pages are present.
    CompleteBeforePresence,
    /// Presence is published without Release.
    RelaxedPresence,
    /// The requests end in one critical section, and the table dies in another.
    DieInTwoSteps,
    /// A request is completed before it is removed from the table.
    RemoveLate,
    /// The worker does not look at the request once the read is in the list.
    NoLookAfterPush,
    /// The worker looks at the request before the read is in the list.
    LookBeforePush,
    /// Waiters for a session are woken before the session starts.
    WakeBeforeBind,
    /// An OPEN is completed before the size is set.
    CompleteBeforeSize,
}

/// The value of a page that the daemon has written.
pub(crate) const FETCHED: u8 = 7;

/// The cache.
pub(crate) struct Cache {
    pub(crate) flaw: Option<Flaw>,
    state: Mutex<State<Cache>>,
    alive: AtomicBool,
    suspending: AtomicBool,
    pub(crate) pollers: WaitQueue,
    sessions: WaitQueue,
    object: OnceLock<ObjectRef>,
    deferred_pages: DeferredPages,
    counts: std::sync::Mutex<Counts>,
}

/// Numbers of requests.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) submitted: usize,
    pub(crate) ended: usize,
}

/// The object.
pub(crate) struct Object {
    cache: Arc<Cache>,
    contents: OnceLock<Contents<Vec<AtomicU64>>>,
    /// The bytes of the cache file. Relaxed: presence alone orders the accesses, and
    /// loom has a reader see old bytes if it does not.
    pages: Vec<AtomicU8>,
    pub(crate) waiters: WaitQueue,
    pub(crate) list: Mutex<List<Cache, Buffer>>,
    count: DeferredCount,
    pub(crate) work: Work,
    /// Deferred reads that have started their I/O.
    pub(crate) started: std::sync::Mutex<Vec<u8>>,
    /// Errors of deferred reads.
    pub(crate) failed: std::sync::Mutex<Vec<Errno>>,
    deferred_prefetch: Mutex<Run>,
}

#[derive(Clone)]
pub(crate) struct ObjectRef(Arc<Object>);

impl std::ops::Deref for ObjectRef {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

/// The mount.
#[derive(Clone)]
pub(crate) struct Mount {
    cache: Arc<Cache>,
    lane: Arc<Lane>,
    pub(crate) hard: bool,
}

/// The folios of a deferred read.
pub(crate) struct Buffer(pub(crate) Run, pub(crate) ObjectRef);

impl Cache {
    /// A cache with a session, and an object of `pages` pages whose size is known.
    pub(crate) fn with_open_object(
        flaw: Option<Flaw>,
        pages: u64,
    ) -> (Arc<Self>, Mount, ObjectRef) {
        let (cache, mount, object) = Self::with_object(flaw, pages);
        cache.lock().attach().unwrap();
        session::bind(&*cache, (), 0);
        session::open(&*cache, &object).unwrap();
        object.set_size(pages);
        let mut state = cache.lock();
        let pending = state.table.peek().unwrap();
        state.table.begin_open(pending.sequence);
        state.table.finish_open(pending.sequence).unwrap();
        state.table.answer_open(pending.sequence, Ok(()), |_, _| ());
        drop(state);
        (cache, mount, object)
    }

    /// A cache without a session, and an object that is not open.
    pub(crate) fn with_object(flaw: Option<Flaw>, pages: u64) -> (Arc<Self>, Mount, ObjectRef) {
        let cache = Arc::new(Self {
            flaw,
            state: Mutex::new(State::new()),
            alive: AtomicBool::new(false),
            suspending: AtomicBool::new(false),
            pollers: WaitQueue::new(),
            sessions: WaitQueue::new(),
            object: OnceLock::new(),
            deferred_pages: DeferredPages::new(),
            counts: Default::default(),
        });
        let object = ObjectRef(Arc::new(Object {
            cache: cache.clone(),
            contents: OnceLock::new(),
            pages: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            waiters: WaitQueue::new(),
            list: Mutex::new(List::<Cache, Buffer>::default()),
            count: DeferredCount::new(),
            work: Work::new(),
            started: Default::default(),
            failed: Default::default(),
            deferred_prefetch: Mutex::new(Run::EMPTY),
        }));
        assert!(cache.object.set(object.clone()).is_ok());
        let mount = Mount {
            cache: cache.clone(),
            lane: Arc::new(Lane::new(1)),
            hard: false,
        };
        (cache, mount, object)
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }

    /// Checks what must hold when all threads have ended, of a page that was requested
    /// by `requests` READs at most.
    pub(crate) fn check(&self, requests: usize) {
        let counts = self.counts();
        assert!(self.lock().table.is_empty(), "a request is left");
        assert_eq!(
            counts.ended, counts.submitted,
            "each request is completed once"
        );
        assert!(
            counts.submitted <= requests,
            "a page that is present was requested"
        );
    }
}

impl Object {
    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Sets the size that the daemon tells, the first time.
    pub(crate) fn set_size(&self, pages: u64) {
        if self.contents.get().is_some() {
            return;
        }
        let unpublished = self.cache.has(Flaw::RelaxedPresence);
        let mut word = AtomicU64::new(0);
        word.unpublished = unpublished;
        let contents = Contents::new(pages * PAGE_SIZE, vec![word]).unwrap();
        assert!(self.contents.set(contents).is_ok());
    }

    /// The daemon's write of a page, unless the page is present.
    pub(crate) fn write(&self, page: u64) {
        let contents = self.contents.get().unwrap();
        if !contents.has(Run {
            first: page,
            count: 1,
        }) {
            self.pages[page as usize].store(FETCHED, Relaxed);
            contents.add(page * PAGE_SIZE, PAGE_SIZE);
        }
    }

    /// The bytes of pages that were seen to be present.
    pub(crate) fn bytes(&self, run: Run) -> Vec<u8> {
        let byte = |page: u64| self.pages[page as usize].load(Relaxed);
        (run.first..run.end()).map(byte).collect()
    }
}

impl Mount {
    /// A read of a task.
    pub(crate) fn read(&self, object: &ObjectRef, run: Run) -> Result<Vec<u8>, Errno> {
        let mut read = PendingRead::<Cache>::new(run, ());
        loop {
            match read.step(self, object)? {
                Step::Ready => return Ok(object.bytes(run)),
                Step::WaitForSession(_) => self.cache.sessions.wait_until(|| read.is_woken(self)),
                Step::WaitForRequest(_) => object.waiters.wait_until(|| read.is_woken(self)),
            }
        }
    }
}

/// Spawns a thread with a reference of its own.
pub(crate) fn spawn<A: Clone + 'static, T: 'static>(
    with: &A,
    task: impl FnOnce(&A) -> T + 'static,
) -> thread::JoinHandle<T> {
    let with = with.clone();
    thread::spawn(move || task(&with))
}

impl Config for Cache {
    type Completion = Arc<Completion<ObjectRef>>;
    type Object = ObjectRef;
    type Lane = Arc<Lane>;
    type Map<K: Copy + Ord, V> = Tree<K, V>;
}

impl Memory for Cache {
    type Directory = ();
    type CompletionMemory = ();

    fn completion_memory() -> Option<()> {
        Some(())
    }

    fn completion((): (), completion: Completion<ObjectRef>) -> Self::Completion {
        Arc::new(completion)
    }
}

impl CacheOps for Cache {
    type Words = Vec<AtomicU64>;
    type Mount = Mount;
    type Instant = ();
    type Guard<'a> = MutexGuard<'a, State<Cache>>;

    fn lock(&self) -> MutexGuard<'_, State<Cache>> {
        self.state.lock().unwrap()
    }

    fn alive(&self) -> &AtomicBool {
        &self.alive
    }

    fn suspending(&self) -> &AtomicBool {
        &self.suspending
    }

    fn wake_pollers(&self) {
        self.pollers.wake();
    }

    fn wake_all_waiters(&self) {
        self.sessions.wake();
        if let Some(object) = self.object.get() {
            object.waiters.wake();
            object.list.lock().unwrap().release_all();
            object.work.queue();
        }
    }
}

impl RequestObject for ObjectRef {
    fn key(&self) -> u64 {
        1
    }

    fn trace(&self, event: Event, run: Run, _result: Result<(), Errno>) {
        let mut counts = self.cache.counts.lock().unwrap();
        match event {
            Event::Submit if run != Run::EMPTY => counts.submitted += 1,
            Event::Complete | Event::Cancel if run != Run::EMPTY => counts.ended += 1,
            _ => {}
        }
        drop(counts);
        let ends = matches!(event, Event::Complete | Event::Cancel);
        if ends && self.cache.has(Flaw::WakeBeforeOutcome) {
            self.waiters.wake();
        }
    }

    fn wake_waiters(&self) {
        if !self.cache.has(Flaw::WakeBeforeOutcome) {
            self.waiters.wake();
        }
    }

    fn deferred_count(&self) -> &DeferredCount {
        &self.count
    }

    fn release_deferred(&self, wait_for: WaitFor) -> bool {
        self.list.lock().unwrap().release(wait_for)
    }

    fn queue_worker(&self) {
        self.work.queue();
    }
}

impl ObjectOps<Cache> for ObjectRef {
    fn volume(&self) -> &[u8] {
        b"erofs,volume"
    }

    fn cookie(&self) -> &[u8] {
        b"cookie"
    }

    fn contents(&self) -> Option<&Contents<Vec<AtomicU64>>> {
        self.contents.get()
    }

    fn is_dropped(&self) -> bool {
        false
    }

    fn with_deferred_prefetch<R>(&self, change: impl FnOnce(&mut Run) -> R) -> R {
        change(&mut self.deferred_prefetch.lock().unwrap())
    }
}

impl MountOps<Cache> for Mount {
    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    fn is_hard(&self) -> bool {
        self.hard
    }

    fn is_aborted(&self) -> bool {
        false
    }

    fn limit(&self) -> Option<u32> {
        None
    }

    fn elapsed(&self, _since: ()) -> i64 {
        0
    }

    fn begin_wait(&self) {}

    fn end_wait(&self, _since: ()) {}

    fn deferred_pages(&self) -> &DeferredPages {
        &self.cache.deferred_pages
    }

    fn count_requests(&self, _requests: u64) {}

    fn count_merged(&self) {}

    fn start_timer(&self) {}
}

impl Folios<Cache> for Buffer {
    fn run(&self) -> Run {
        self.0
    }

    fn start(self, object: &ObjectRef) {
        let bytes = object.bytes(self.0);
        object.started.lock().unwrap().extend(bytes);
    }

    fn fail(self, errno: Errno) {
        self.1.failed.lock().unwrap().push(errno);
    }
}

impl HasDeferred<Cache, Buffer> for Object {
    fn with_deferred<T>(&self, change: impl FnOnce(&mut List<Cache, Buffer>) -> T) -> T {
        change(&mut self.list.lock().unwrap())
    }
}
