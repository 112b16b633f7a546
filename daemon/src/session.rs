// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon at work: one thread takes the kernel's messages, others answer them.

use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{retry_on_intr, Errno};
use thiserror::Error;

mod bind;
mod buffer;
mod descriptors;
mod fill;
mod objects;
mod serve;
mod statistics;

pub use bind::{bind, BindError};
pub use descriptors::raise_descriptor_limit;
pub use fill::FillError;
pub use statistics::Statistics;

use crate::backend::{Backend, Blob};
use crate::plan::{Behaviour, Kind, Plan, Step};
use crate::protocol::{
    Device, Features, Message, MsgId, Object, Operation, ReceiveError, Received, MSG_MAX,
};
use fill::Filler;
use objects::{Entry, Objects};
use statistics::{add, Counters};

/// Longest rest before a last look at an object whose cache file is not there yet.
const OPENING: Duration = Duration::from_secs(1);

/// How a session works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests that are answered at once.
    pub threads: usize,
    /// Whether each blob is fetched whole, in the background, once it is open.
    pub prefetch: bool,
    /// What to do wrong; nothing by default.
    pub plan: Plan,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 8,
            prefetch: false,
            plan: Plan::default(),
        }
    }
}

/// Why a session ended before it was told to.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no message where poll(2) said so.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The kernel says that the cache is dead.
    #[error("the cache is dead: its file system failed, or the kernel took it away")]
    Dead,
    /// Sockets or threads could not be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A bound cache with the blobs of `backend`.
#[derive(Debug)]
pub struct Session<B> {
    device: Device,
    backend: B,
    options: Options,
    /// Whether a READ may be answered with an errno.
    read_errors: bool,
    objects: Objects,
    counters: Counters,
    stopping: Arc<AtomicBool>,
    /// The end that [`StopHandle`]s wake, and one of theirs.
    wake: (UnixStream, UnixStream),
}

/// Ends a session from another thread.
#[derive(Debug)]
pub struct StopHandle {
    stopping: Arc<AtomicBool>,
    wake: UnixStream,
}

/// What a worker does next.
struct Job {
    id: MsgId,
    entry: Arc<Entry>,
    task: Task,
    behaviour: Behaviour,
    received: Instant,
}

enum Task {
    Open,
    Read(Range<u64>),
}

impl<B: Backend> Session<B> {
    /// A session on a device whose cache is bound: by [`bind()`], or by a predecessor whose requests
    /// [`Command::Restore`](crate::protocol::Command::Restore) has put back.
    ///
    /// Where the kernel's side has [`Features::READ_ERRORS`], it is switched on: then readers get the
    /// backend's errno ([`BackendError::errno`](crate::backend::BackendError::errno)), and EIO elsewhere.
    ///
    /// # Errors
    /// Those of making a socket, and of asking the device.
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
            options,
            read_errors,
            objects: Objects::default(),
            counters: Counters::default(),
            stopping: Arc::default(),
            wake,
        })
    }

    /// Something that ends [`run`](Self::run), now or later.
    ///
    /// # Errors
    /// Those of copying a descriptor.
    pub fn stop_handle(&self) -> io::Result<StopHandle> {
        Ok(StopHandle {
            stopping: Arc::clone(&self.stopping),
            wake: self.wake.1.try_clone()?,
        })
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Answers messages until it is told to stop; then what was received is still answered. Call it
    /// once.
    ///
    /// # Errors
    /// Why it cannot go on. All descriptors of objects are closed then, too.
    pub fn run(&self) -> Result<(), SessionError> {
        let (jobs, queue) = mpsc::channel();
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
            let ended = self.receive(&jobs);
            self.stopping.store(true, Ordering::Relaxed);
            drop(jobs);
            ended
        });
        self.objects.clear();
        ended
    }

    /// Fetches what the cache misses of `range` of an open blob, rounded to whole pages and cut at
    /// the blob's end. Returns the bytes that were written.
    ///
    /// # Errors
    /// See [`FillError`].
    pub fn prefetch(&self, blob: &Blob, range: Range<u64>) -> Result<u64, FillError> {
        let entry = self
            .objects
            .find(blob)
            .ok_or_else(|| FillError::NotOpen(blob.clone()))?;
        self.fill_soon(&mut self.filler(), &entry, range)
    }

    /// Fills an object that may be new: the C driver opens its cache file only after the OPEN was
    /// answered, and says ENOBUFS until then.
    fn fill_soon(
        &self,
        filler: &mut Filler<'_>,
        entry: &Entry,
        range: Range<u64>,
    ) -> Result<u64, FillError> {
        let mut rest = Duration::from_millis(1);
        loop {
            match filler.fill(entry, range.clone(), &Behaviour::default()) {
                Err(FillError::Seek(Errno::NOBUFS)) if rest < OPENING => thread::sleep(rest),
                ended => return ended,
            }
            rest *= 2;
        }
    }

    /// Gives every message to the workers, until there is a reason to end.
    fn receive(&self, jobs: &mpsc::Sender<Job>) -> Result<(), SessionError> {
        let mut course = self.options.plan.course();
        let mut buffer = [0; MSG_MAX];
        while self.wait()? {
            let (mut reads, mut others) = (false, false);
            while !self.stopping.load(Ordering::Relaxed) {
                let Received { message, object } = match self.device.read_message(&mut buffer) {
                    Ok(Some(received)) => received,
                    Ok(None) => break,
                    // The kernel has failed one OPEN, and has further messages.
                    Err(ReceiveError::Read(
                        errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::EXIST),
                    )) => {
                        tracing::error!("an OPEN failed in the kernel: {errno}");
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                tracing::debug!(?message, "received");
                let kind = match message.operation {
                    Operation::Open { .. } => Kind::Open,
                    Operation::Close => Kind::Close,
                    Operation::Read { .. } => Kind::Read,
                };
                self.counters.received(kind);
                match kind {
                    Kind::Read => reads = true,
                    Kind::Open | Kind::Close => others = true,
                }
                let behaviour = course.next(kind);
                if !behaviour.is_good() {
                    tracing::info!("{kind} {}: {behaviour}", message.id);
                }
                behaviour.reach(Step::Received);
                if let Some(job) = self.job(&message, object, behaviour) {
                    // The workers hold the other end for as long as this one is there.
                    let _ = jobs.send(job);
                }
            }
            if reads || !others {
                add(&self.counters.read_wakeups, 1);
            }
        }
        Ok(())
    }

    /// Waits for messages; false when it is time to end.
    fn wait(&self) -> Result<bool, SessionError> {
        let mut polled = [
            PollFd::new(&self.device, PollFlags::IN),
            PollFd::new(&self.wake.0, PollFlags::IN),
        ];
        // Who ends the session on a signal wakes us, too.
        retry_on_intr(|| rustix::event::poll(&mut polled, None)).map_err(io::Error::from)?;
        if self.stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if polled[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
        {
            return Err(SessionError::Dead);
        }
        Ok(true)
    }

    /// What is to be done about a message.
    fn job(
        &self,
        message: &Message<'_>,
        object: Option<Object>,
        behaviour: Behaviour,
    ) -> Option<Job> {
        let (entry, task) = match (message.operation, object) {
            (Operation::Open { volume, cookie, .. }, Some(object)) => {
                let blob = Blob {
                    volume: volume.to_vec(),
                    cookie: cookie.to_vec(),
                };
                let entry = self.objects.insert(message.object, object, blob);
                (entry, Task::Open)
            }
            (Operation::Read { offset, len }, _) => {
                let Some(entry) = self.objects.get(message.object) else {
                    tracing::warn!("READ {} of an object that was closed", message.id);
                    return None;
                };
                (entry, Task::Read(offset..offset + len))
            }
            _ => {
                // The descriptor closes when the last worker is done with it.
                self.objects.remove(message.object);
                return None;
            }
        };
        Some(Job {
            id: message.id,
            entry,
            task,
            behaviour,
            received: Instant::now(),
        })
    }

    fn work(&self, queue: &Mutex<mpsc::Receiver<Job>>, opened: &mpsc::Sender<Arc<Entry>>) {
        let mut filler = self.filler();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            let received = job.received;
            match job.task {
                Task::Open => {
                    let entry = self.serve_open(job.id, job.entry, &job.behaviour);
                    if let Some(entry) = entry.filter(|_| self.options.prefetch) {
                        // Nobody takes it when the session is ending.
                        let _ = opened.send(entry);
                    }
                }
                Task::Read(range) => {
                    self.serve_read(job.id, job.entry, range, &job.behaviour, &mut filler);
                }
            }
            self.counters.served(received.elapsed());
        }
    }

    fn prefetch_opened(&self, opened: &mpsc::Receiver<Arc<Entry>>) {
        let mut filler = self.filler().until(&self.stopping);
        for entry in opened {
            match self.fill_soon(&mut filler, &entry, 0..u64::MAX) {
                Ok(written) => tracing::debug!("{}: {written} bytes prefetched", entry.blob),
                Err(error) => tracing::warn!("prefetch of {}: {error}", entry.blob),
            }
        }
    }

    fn filler(&self) -> Filler<'_> {
        Filler::new(&self.backend, &self.counters)
    }
}

impl StopHandle {
    /// Lets the session end. Can be called from anywhere, and again.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Fails only when the session is gone, or was woken so often that it knows.
        let _ = (&self.wake).write(&[0]);
    }
}
