// SPDX-License-Identifier: GPL-2.0

//! An object: a cache file that a daemon fills.

use super::{contents::Contents, names::c_string, parked::Parked};
use crate::vfs::{trace, Background, CacheFile, Deferred, Event, WaitQueue};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc,
        Mutex,
        SetOnce, //
    },
};

use ondine_ondemand::{presence::pages_of, Run};

/// A counted reference to an object.
pub(crate) type ObjectRef = Arc<Deferred<Object>>;

/// One blob of the cache, known by the keys of its volume and its cookie.
#[pin_data]
pub(crate) struct Object {
    /// What the request table calls it.
    key: u64,
    volume: CString,
    cookie: CString,
    file: CacheFile,
    /// From the first answer to an OPEN on.
    contents: SetOnce<Contents>,
    /// What is to be asked for then, beside what is waited for.
    #[pin]
    postponed: Mutex<Run>,
    #[pin]
    sizing: Mutex<()>,
    #[pin]
    waiters: WaitQueue,
    /// Reads that wait without a task, but for those that [`Self::run`] looks
    /// after at the moment.
    #[pin]
    parked: Mutex<KVec<Parked>>,
    /// All of them. Each is counted before it asks for anything: whoever ends
    /// what it asked for, having taken the same lock since, sees it counted.
    parked_count: Atomic<usize>,
    dropped: Atomic<bool>,
    /// Bytes that became present since the object was opened.
    filled: Atomic<u64>,
}

/// Where the size of an object is kept, as the C driver keeps it: be64 size,
/// be64 0, type, content.
const SIZE_ATTRIBUTE: &CStr = c"user.CacheFiles.cache";
const SIZE_ATTRIBUTE_LEN: usize = 18;
/// Type and content of a cache file that is what it says.
const SIZE_ATTRIBUTE_KIND: [u8; 2] = [1, 0];

impl Object {
    /// An object that no daemon knows yet.
    pub(super) fn new(
        key: u64,
        volume: &[u8],
        cookie: &[u8],
        file: CacheFile,
    ) -> Result<ObjectRef> {
        Arc::pin_init(
            Deferred::new(try_pin_init!(Self {
                key,
                volume: c_string(volume)?,
                cookie: c_string(cookie)?,
                file,
                contents: SetOnce::new(),
                postponed <- new_mutex!(Run::EMPTY, "ondine::Object::postponed"),
                sizing <- new_mutex!((), "ondine::Object::sizing"),
                waiters <- WaitQueue::new(),
                parked <- new_mutex!(KVec::new(), "ondine::Object::parked"),
                parked_count: Atomic::new(0),
                dropped: Atomic::new(false),
                filled: Atomic::new(0),
            })),
            GFP_KERNEL,
        )
    }

    /// What the request table calls it.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Key of the volume.
    pub(crate) fn volume(&self) -> &[u8] {
        self.volume.to_bytes()
    }

    /// Key of the cookie.
    pub(crate) fn cookie(&self) -> &[u8] {
        self.cookie.to_bytes()
    }

    /// Traces what happens to a request for pages of the object.
    pub(crate) fn trace(&self, event: Event, run: Run, result: Result) {
        trace(
            event,
            [&self.volume, &self.cookie],
            run.first,
            run.count,
            result,
        );
    }

    /// The cache file.
    pub(crate) fn file(&self) -> &CacheFile {
        &self.file
    }

    /// Size and presence, once the daemon has told the size.
    #[inline]
    pub(super) fn contents(&self) -> Option<&Contents> {
        self.contents.as_ref()
    }

    /// Keeps in mind what somebody would like to have once the size is known. Of
    /// what lies apart, only the first is kept.
    pub(super) fn postpone(&self, run: Run) {
        let mut kept = self.postponed.lock();
        *kept = kept.joined(run).unwrap_or(*kept);
    }

    /// What [`Self::postpone`] has kept.
    pub(super) fn take_postponed(&self) -> Run {
        core::mem::replace(&mut *self.postponed.lock(), Run::EMPTY)
    }

    /// Whether all pages of `run` are present.
    #[inline]
    pub(super) fn has(&self, run: Run) -> bool {
        self.contents().is_some_and(|contents| contents.has(run))
    }

    /// Bytes that became present since the object was opened.
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Relaxed)
    }

    /// Those who wait for requests of this object.
    pub(super) fn waiters(&self) -> &WaitQueue {
        &self.waiters
    }

    /// Whether the daemon may use the cache file: once it has told the size, as
    /// long as a mount uses the object. Later, who opens the same file again
    /// would not know what is written.
    pub(crate) fn is_open(&self) -> bool {
        self.contents().is_some() && !self.dropped.load(Acquire)
    }

    /// Nobody uses the object any more.
    pub(super) fn set_dropped(&self) {
        self.dropped.store(true, Release);
    }

    /// Whether nobody uses the object any more.
    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Acquire)
    }

    /// The daemon says that the object has `size` bytes.
    ///
    /// The first time the cache file is made to fit, and what it has already is
    /// found out. A file that was made for another size is emptied: its bytes
    /// are of something else.
    ///
    /// # Errors
    ///
    /// EINVAL if the size is not what it was; what resizing and seeking give.
    pub(crate) fn set_size(&self, size: u64) -> Result {
        let _guard = self.sizing.lock();
        if let Some(contents) = self.contents() {
            return if contents.size() == size {
                Ok(())
            } else {
                Err(EINVAL)
            };
        }
        let room = pages_of(size)
            .checked_mul(kernel::page::PAGE_SIZE as u64)
            .ok_or(EFBIG)?;
        if self.file.size() != 0 && self.recorded_size()? != Some(size) {
            self.file.resize(0)?;
        }
        self.record_size(size)?;
        if self.file.size() != room {
            self.file.resize(room)?;
        }
        // Only now: the file system knows which sizes there can be.
        let contents = Contents::new(size)?;
        // Nobody writes before the object is open.
        for extent in self.file.extents()? {
            contents.add(extent.start, extent.end.saturating_sub(extent.start));
        }
        self.contents.populate(contents);
        Ok(())
    }

    /// Moves the position of the cache file to where data, or a hole, begins at
    /// or after `offset`, and returns it.
    ///
    /// Presence tells, as far as it goes: see [`CacheFile::extents`] for what the
    /// file would say.
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
        // What the daemon has written behind the last page is the file's alone.
        let end = contents.end();
        match self.file.find(offset.max(end), data) {
            Err(error) if error == ENXIO && !data && offset < end => self.file.move_to(end),
            found => found,
        }
    }

    /// `len` bytes have been written at `offset` of the cache file. Returns how
    /// many bytes became present.
    pub(crate) fn wrote(&self, offset: u64, len: u64) -> u64 {
        let Some(contents) = self.contents() else {
            return 0;
        };
        let added = contents.add(offset, len);
        self.filled.fetch_add(added, Relaxed);
        added
    }

    /// Wakes who waits for a request of this object.
    pub(super) fn notify(this: &ObjectRef) {
        this.waiters.wake_all();
        if this.has_parked() {
            Deferred::kick(this);
        }
    }

    /// Whether reads of folios wait.
    pub(super) fn has_parked(&self) -> bool {
        self.parked_count.load(Relaxed) != 0
    }

    /// One more read of folios waits.
    pub(super) fn count_parked(&self) {
        self.parked_count.add(1, Relaxed);
    }

    /// One less.
    pub(super) fn discount_parked(&self) {
        let _before = self.parked_count.fetch_sub(1, Relaxed);
    }

    /// Keeps a read until its pages are present, or cannot be.
    pub(super) fn park(this: &ObjectRef, parked: Parked) {
        // Out of memory, the push drops the read, which fails it.
        let _kept = this.parked.lock().push(parked, GFP_KERNEL);
        // Its request may have ended meanwhile.
        Deferred::kick(this);
    }

    /// The size that the cache file was made for; `None` if it does not say so.
    ///
    /// # Errors
    ///
    /// What the file system gives when it cannot tell: that is no reason to
    /// empty a file.
    fn recorded_size(&self) -> Result<Option<u64>> {
        let mut value = [0u8; SIZE_ATTRIBUTE_LEN];
        match self.file.attribute(SIZE_ATTRIBUTE, &mut value) {
            Ok(SIZE_ATTRIBUTE_LEN) if value.get(16) == SIZE_ATTRIBUTE_KIND.first() => {
                let size = value.first_chunk();
                Ok(size.map(|bytes| u64::from_be_bytes(*bytes)))
            }
            Ok(_) => Ok(None),
            Err(error) if error == ENODATA || error == ERANGE => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn record_size(&self, size: u64) -> Result {
        let mut value = [0u8; SIZE_ATTRIBUTE_LEN];
        if let Some(bytes) = value.first_chunk_mut() {
            *bytes = size.to_be_bytes();
        }
        if let Some(bytes) = value.last_chunk_mut() {
            *bytes = SIZE_ATTRIBUTE_KIND;
        }
        self.file.set_attribute(SIZE_ATTRIBUTE, &value)
    }
}

impl Background for Object {
    /// Looks after the reads that are parked.
    fn run(&self) {
        let reads = core::mem::take(&mut *self.parked.lock());
        for mut read in reads {
            if read.step() {
                // As in `park`.
                let _kept = self.parked.lock().push(read, GFP_KERNEL);
            }
        }
    }
}
