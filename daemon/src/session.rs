// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon at work: one thread receives the kernel's messages, and workers answer them.
//!
//! | file | contents |
//! | --- | --- |
//! | `session.rs` | [`Session`]: its threads, and how they are stopped |
//! | `session/bind.rs` | [`bind()`]: brings a cache online |
//! | `session/receive.rs` | the receiving thread: turns messages into requests for the workers |
//! | `session/serve.rs` | the answers to OPENs and READs |
//! | `session/fill.rs` | fetches missing pages and writes them to the cache |
//! | `session/prefetch.rs` | fills whole blobs in the background |
//! | `session/objects.rs` | the table of open objects |
//! | `session/record.rs` | records of the versions whose bytes are cached |
//! | `session/retry.rs` | when a failed request is tried again |
//! | `session/postponed.rs` | where it waits for that |
//! | `session/buffer.rs` | memory for direct I/O |
//! | `session/statistics.rs` | [`Statistics`]: counters |
//! | `session/descriptors.rs` | [`raise_descriptor_limit`] |

use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;

mod bind;
mod buffer;
mod descriptors;
mod fill;
mod objects;
mod postponed;
mod prefetch;
mod receive;
mod record;
mod retry;
mod serve;
mod statistics;

pub use bind::{bind, BindError};
pub use descriptors::raise_descriptor_limit;
pub use fill::FillError;
pub use record::RECORDS;
pub use statistics::Statistics;

use crate::backend::{Backend, BlobKey};
use crate::misbehaviour::Plan;
use crate::protocol::{Device, Features, ReceiveError};
use fill::Filler;
use objects::{ObjectTable, OpenObject};
use postponed::Postponed;
use receive::{Request, RequestKind};
use record::Records;
use statistics::Counters;

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of workers, and so of requests that are answered concurrently; 0 counts as 1.
    pub threads: usize,
    /// True if each blob is fetched as a whole in the background once it is open.
    pub prefetch: bool,
    /// Time for which a request is tried again after its first failure, if that may pass by itself.
    pub patience: Duration,
    /// Directory of the cache, if versions of blobs are recorded in it ([`RECORDS`]). Cached bytes of
    /// another version are dropped when their blob is opened. Without it, only one session knows the
    /// versions.
    pub records: Option<PathBuf>,
    /// Faults to inject; none by default.
    pub plan: Plan,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 8,
            prefetch: false,
            patience: Duration::from_secs(30),
            records: None,
            plan: Plan::default(),
        }
    }
}

/// An error that ended a session.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A message could not be received, although poll(2) reported one.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The kernel reports that the cache is dead.
    #[error("the cache is dead: its file system failed, or the kernel withdrew it")]
    Dead,
    /// A thread or a socket could not be created, or poll(2) failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A bound cache that is served with the blobs of `B`.
#[derive(Debug)]
pub struct Session<B> {
    device: Device,
    backend: B,
    options: Options,
    /// True if a READ can be completed with an errno.
    read_errors: bool,
    records: Option<Records>,
    objects: ObjectTable,
    postponed: Postponed,
    counters: Counters,
    stopping: Arc<AtomicBool>,
    /// Sockets that interrupt poll(2): the receiving end, and a sending end to clone for each
    /// [`StopHandle`].
    wake: (UnixStream, UnixStream),
}

/// Stops a session from another thread.
#[derive(Debug)]
pub struct StopHandle {
    stopping: Arc<AtomicBool>,
    wake: UnixStream,
}

impl<B: Backend> Session<B> {
    /// A session on a device with a bound cache: bound by [`bind()`], or by a previous daemon whose
    /// requests [`Command::Restore`](crate::protocol::Command::Restore) has requeued.
    ///
    /// Enables [`Features::READ_ERRORS`] if the driver has it. Readers then get the backend's errno
    /// ([`BackendError::errno`](crate::backend::BackendError::errno)), and EIO otherwise.
    ///
    /// # Errors
    /// The socket pair could not be created, or the device refused an ioctl.
    pub fn new(device: Device, backend: B, options: Options) -> io::Result<Self> {
        let wake = UnixStream::pair()?;
        wake.1.set_nonblocking(true)?;
        let read_errors = device.features()?.contains(Features::READ_ERRORS);
        if read_errors {
            device.enable(Features::READ_ERRORS)?;
        }
        Ok(Self {
            device,
            backend,
            records: options.records.as_deref().map(Records::new),
            options,
            read_errors,
            objects: ObjectTable::default(),
            postponed: Postponed::default(),
            counters: Counters::default(),
            stopping: Arc::default(),
            wake,
        })
    }

    /// A handle that stops [`run`](Self::run), before or after it was called.
    ///
    /// # Errors
    /// The descriptor of a socket could not be cloned.
    pub fn stop_handle(&self) -> io::Result<StopHandle> {
        Ok(StopHandle {
            stopping: Arc::clone(&self.stopping),
            wake: self.wake.1.try_clone()?,
        })
    }

    /// Counters of the session so far.
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Answers messages until a [`StopHandle`] stops it. Requests that were received by then are still
    /// answered. Closes the descriptors of all objects before it returns. Must be called only once.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn run(&self) -> Result<(), SessionError> {
        let (requests, queue) = mpsc::channel();
        let (opened, to_prefetch) = mpsc::channel();
        let queue = Mutex::new(queue);
        let ended = thread::scope(|scope| {
            for n in 0..self.options.threads.max(1) {
                let (queue, opened) = (&queue, opened.clone());
                thread::Builder::new()
                    .name(format!("worker-{n}"))
                    .spawn_scoped(scope, move || self.work(queue, &opened))?;
            }
            drop(opened);
            if self.options.prefetch {
                thread::Builder::new()
                    .name("prefetch".to_owned())
                    .spawn_scoped(scope, move || self.prefetch_opened(&to_prefetch))?;
            }
            let again = requests.clone();
            thread::Builder::new()
                .name("retry".to_owned())
                .spawn_scoped(scope, move || self.postponed.run(&again))?;
            let ended = self.receive(&requests);
            self.stopping.store(true, Ordering::Relaxed);
            self.postponed.close();
            // Workers return once the queue is empty and has no sender.
            drop(requests);
            ended
        });
        self.objects.clear();
        ended
    }

    /// Serves requests from `queue` until it is closed, and passes objects that were opened on to
    /// `opened` for prefetching.
    fn work(&self, queue: &Mutex<mpsc::Receiver<Request>>, opened: &mpsc::Sender<Arc<OpenObject>>) {
        let mut filler = self.filler();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(request) = next else { return };
            let received = request.received;
            match request.kind.clone() {
                RequestKind::Open => {
                    let open = self.serve_open(request);
                    if let Some(open) = open.filter(|_| self.options.prefetch) {
                        // The prefetching thread is gone when the session is ending.
                        let _ = opened.send(open);
                    }
                }
                RequestKind::Read(range) => self.serve_read(request, range, &mut filler),
            }
            self.counters.served(received.elapsed());
        }
    }

    /// Fetches the missing pages of `range` of an open blob, rounded to whole pages and cut at the end
    /// of the blob. Returns the number of bytes written.
    ///
    /// # Errors
    /// See [`FillError`].
    pub fn prefetch(&self, blob: &BlobKey, range: Range<u64>) -> Result<u64, FillError> {
        let open = self
            .objects
            .find(blob)
            .ok_or_else(|| FillError::NotOpen(blob.clone()))?;
        self.fill_opened(&mut self.filler(), &open, range)
    }

    fn filler(&self) -> Filler<'_> {
        Filler::new(&self.backend, &self.counters)
    }
}

impl StopHandle {
    /// Stops the session. Can be called more than once.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Fails if the session is gone, or if unread wake-ups fill the socket, which wake it as well.
        let _ = (&self.wake).write(&[0]);
    }
}

#[cfg(test)]
mod tests;
