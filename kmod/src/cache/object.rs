// SPDX-License-Identifier: GPL-2.0

//! An object: a cache file that a daemon fills.

use super::{deferred_read::DeferredList, error, path::c_string, Cache};
use crate::vfs::{self, trace, CacheFile, RwLock, WaitQueue, WorkHandler, WorkItem};
use core::ops::Deref;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex,
        SetOnce, //
    },
};
use ondine_ondemand::{
    completion::{Event, RequestObject},
    deferred,
    deferred_count::DeferredCount,
    deferred_list::WaitFor,
    platform::ObjectOps,
    sync::AtomicU64,
    writers::Writers,
    Errno, Run,
};

/// Size and presence of an object.
pub(super) type Contents = ondine_ondemand::Contents<KVVec<AtomicU64>>;

/// A counted reference to an object.
#[derive(Clone)]
pub(crate) struct ObjectRef(Arc<WorkItem<Object>>);

/// A blob of the cache, named by the keys of its volume and its cookie.
#[pin_data]
pub(crate) struct Object {
    /// The object's key in the request table.
    key: u64,
    volume: CString,
    cookie: CString,
    file: CacheFile,
    /// Set by the first answer to an OPEN.
    pub(super) contents: SetOnce<Contents>,
    /// Pages to request once the size is known.
    #[pin]
    deferred_prefetch: Mutex<Run>,
    /// Held while the size is set.
    #[pin]
    pub(super) sizing: Mutex<()>,
    /// Tasks that wait for a request of the object.
    #[pin]
    waiters: WaitQueue,
    /// Deferred reads, except one that the worker is stepping.
    #[pin]
    deferred: Mutex<DeferredList>,
    deferred_count: DeferredCount,
    writers: Writers,
    /// Shared by writes into the cache file, until their pages are in the record.
    #[pin]
    writing: RwLock,
    /// Bytes that became present since the object was made.
    filled: Atomic<u64>,
}

impl Deref for ObjectRef {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl ObjectRef {
    /// An object that is not open.
    ///
    /// # Errors
    ///
    /// ENOMEM; EINVAL for a key with a NUL.
    pub(super) fn new(key: u64, volume: &[u8], cookie: &[u8], file: CacheFile) -> Result<Self> {
        let object = Arc::pin_init(
            WorkItem::new(try_pin_init!(Object {
                key,
                volume: c_string(volume)?,
                cookie: c_string(cookie)?,
                file,
                contents: SetOnce::new(),
                deferred_prefetch <- new_mutex!(Run::EMPTY, "ondine::Object::deferred_prefetch"),
                sizing <- new_mutex!((), "ondine::Object::sizing"),
                waiters <- WaitQueue::new(),
                deferred <- new_mutex!(DeferredList::default(), "ondine::Object::deferred"),
                deferred_count: DeferredCount::new(),
                writers: Writers::new(),
                writing <- RwLock::new(),
                filled: Atomic::new(0),
            })),
            GFP_KERNEL,
        )?;
        Ok(Self(object))
    }
}

impl Object {
    /// The cache file.
    pub(crate) fn file(&self) -> &CacheFile {
        &self.file
    }

    /// Size and presence, once the daemon has told the size.
    #[inline]
    pub(super) fn contents(&self) -> Option<&Contents> {
        self.contents.as_ref()
    }

    /// Bytes that became present since the object was made.
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Relaxed)
    }

    /// Tasks that wait for a request of the object.
    pub(super) fn waiters(&self) -> &WaitQueue {
        &self.waiters
    }

    /// Deferred reads, except one that the worker is stepping.
    pub(super) fn deferred(&self) -> &Mutex<DeferredList> {
        &self.deferred
    }

    /// Writes into the cache file that are in progress.
    pub(super) fn writers(&self) -> &Writers {
        &self.writers
    }

    /// Calls `write` with the number of bytes to write, of `len` that the daemon has for
    /// the start of a page at `offset`, and marks the pages that it filled as present.
    /// Returns the number of bytes, and the size in bytes of the pages that were missing.
    ///
    /// A page is written whole or not at all: what a short or failed write leaves in a
    /// missing page is punched out. A hole must not meet a page that another write has
    /// filled, so that it is made without other writes.
    ///
    /// # Errors
    ///
    /// EINVAL if `len` bytes fill no page; those of `write`; EIO if it wrote less than a
    /// page; those of [`Self::void_size`].
    pub(super) fn write_pages(
        &self,
        offset: u64,
        len: u64,
        write: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<(u64, u64)> {
        let contents = self.contents().ok_or(ENOBUFS)?;
        let whole = contents.whole_pages(offset, len);
        if whole == 0 && len != 0 {
            return Err(EINVAL);
        }
        let shared = self.writing.share();
        let result = write(whole);
        let written = contents.whole_pages(offset, *result.as_ref().unwrap_or(&0));
        if written != 0 {
            let run = Run::touched_by(offset, written);
            self.trace(vfs::Event::Fill, run, Ok(()));
        }
        let added = contents.add(offset, written);
        drop(shared);
        self.filled.fetch_add(added, Relaxed);
        if written < whole {
            let left = offset.saturating_add(written);
            self.punch_missing(contents, left, whole.saturating_sub(written))?;
        }
        match result {
            Err(error) => Err(error),
            Ok(_) if written == 0 && whole != 0 => Err(EIO),
            Ok(_) => Ok((written, added)),
        }
    }

    fn trace(&self, event: vfs::Event, run: Run, result: Result) {
        let keys: [&CStr; 2] = [&self.volume, &self.cookie];
        trace(event, keys, run.first, run.count, result);
    }

    /// Makes holes of the missing pages that `len` bytes at `offset` touch. If the file
    /// system does not make one, the next mount empties the file: it would take the page
    /// for data.
    fn punch_missing(&self, contents: &Contents, mut offset: u64, len: u64) -> Result {
        let end = offset.saturating_add(len);
        let _alone = self.writing.exclude();
        let mut punched = Ok(());
        while let Some(missing) = contents.missing_bytes(offset, end.saturating_sub(offset)) {
            offset = missing.end;
            punched = punched.and(self.file.punch(missing));
        }
        punched.or_else(|_| self.void_size())
    }

    /// Moves the position of the cache file to the next data, or hole, at or after
    /// `offset`, and returns it.
    ///
    /// Up to the end of the last page the presence record tells where that is: see
    /// [`CacheFile::extents`] for what the file system would say.
    ///
    /// # Errors
    ///
    /// As `lseek(2)`.
    pub(crate) fn seek(&self, offset: i64, data: bool) -> Result<i64> {
        let contents = self.contents().ok_or(ENOBUFS)?;
        let offset = u64::try_from(offset).map_err(|_| ENXIO)?;
        if let Some(found) = contents.find(offset, data) {
            return self.file.move_to(found);
        }
        // Only the file knows what the daemon wrote after the last page.
        let end = contents.end();
        match self.file.find(offset.max(end), data) {
            Err(error) if error == ENXIO && !data && offset < end => self.file.move_to(end),
            found => found,
        }
    }
}

impl RequestObject for ObjectRef {
    fn key(&self) -> u64 {
        self.key
    }

    fn trace(&self, event: Event, run: Run, result: core::result::Result<(), Errno>) {
        let event = match event {
            Event::Submit => vfs::Event::Submit,
            Event::Deliver => vfs::Event::Deliver,
            Event::Complete => vfs::Event::Complete,
            Event::Cancel => vfs::Event::Cancel,
        };
        Object::trace(self, event, run, result.map_err(error));
    }

    fn wake_waiters(&self) {
        self.waiters.wake_all();
    }

    fn deferred_count(&self) -> &DeferredCount {
        &self.deferred_count
    }

    fn release_deferred(&self, wait_for: WaitFor) -> bool {
        self.deferred.lock().release(wait_for)
    }

    fn queue_worker(&self) {
        WorkItem::queue(&self.0);
    }
}

impl ObjectOps<Cache> for ObjectRef {
    fn volume(&self) -> &[u8] {
        self.volume.to_bytes()
    }

    fn cookie(&self) -> &[u8] {
        self.cookie.to_bytes()
    }

    #[inline]
    fn contents(&self) -> Option<&Contents> {
        Object::contents(self)
    }

    fn is_dropped(&self) -> bool {
        self.writers.is_dropped()
    }

    fn with_deferred_prefetch<R>(&self, change: impl FnOnce(&mut Run) -> R) -> R {
        change(&mut self.deferred_prefetch.lock())
    }
}

impl WorkHandler for Object {
    /// Steps the deferred reads that are runnable.
    fn run(&self) {
        deferred::process::<Cache, _>(self);
    }
}
