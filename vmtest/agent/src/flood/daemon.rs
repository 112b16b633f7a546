// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon in this process that reads a message only when it is told to.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use ondined::protocol::{Command, Device, MsgId, Object, ObjectId, Operation, DEVICE, MSG_MAX};
use ondined::session::bind;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// Bytes of the cache file of each blob.
pub(super) const SIZE: u64 = 1 << 30;
/// Time limit of [`Daemon::serve`].
const LIMIT: Duration = Duration::from_secs(120);

/// A bound cache whose blobs begin with an image, and continue with numbered pages.
pub(super) struct Daemon {
    device: Device,
    image: Vec<u8>,
    objects: HashMap<ObjectId, (String, Object)>,
    /// The READs of each blob so far, by cookie.
    asked: HashMap<String, Vec<Range<u64>>>,
}

/// A READ that is not answered.
pub(super) struct Read {
    id: MsgId,
    object: ObjectId,
    /// The cookie of the blob.
    pub(super) blob: String,
    offset: u64,
    len: u64,
}

impl Daemon {
    /// Binds the cache in `dir`.
    ///
    /// # Errors
    /// The device cannot be opened, or the bind fails.
    pub(super) fn new(dir: &Path, image: Vec<u8>) -> Result<Self> {
        let device = Device::open(Path::new(DEVICE)).context(DEVICE)?;
        bind(&device, dir, None)?;
        Ok(Self {
            device,
            image,
            objects: HashMap::new(),
            asked: HashMap::new(),
        })
    }

    /// Reads one message. Answers an OPEN, and returns a READ.
    ///
    /// # Errors
    /// The message cannot be read, or an OPEN cannot be answered.
    pub(super) fn receive(&mut self) -> Result<Option<Received>> {
        let mut buffer = vec![0; MSG_MAX];
        let Some(received) = self.device.read_message(&mut buffer)? else {
            return Ok(None);
        };
        let (id, object) = (received.message.id, received.message.object);
        match received.message.operation {
            Operation::Open { cookie, .. } => {
                let cookie = String::from_utf8_lossy(cookie).into_owned();
                let descriptor = received.object.context("an OPEN without a descriptor")?;
                self.objects.insert(object, (cookie, descriptor));
                self.device.command(Command::Copen(id, Ok(SIZE)).encode())?;
                Ok(Some(Received::Other))
            }
            Operation::Close => {
                self.objects.remove(&object);
                Ok(Some(Received::Other))
            }
            Operation::Read { offset, len } => {
                let known = self.objects.get(&object);
                let blob = known.context("a READ of an unknown object")?.0.clone();
                let asked = self.asked.entry(blob.clone()).or_default();
                asked.push(offset..offset + len);
                Ok(Some(Received::Read(Read {
                    id,
                    object,
                    blob,
                    offset,
                    len,
                })))
            }
        }
    }

    /// Writes the pages of a READ, and completes it.
    ///
    /// # Errors
    /// The write or the ioctl fails.
    pub(super) fn answer(&self, read: &Read) -> Result<()> {
        let (_, object) = &self.objects[&read.object];
        let len = usize::try_from(read.len)?;
        // Direct I/O needs memory at the address of a page.
        let mut memory = vec![0; len + PAGE as usize];
        let start = memory.as_ptr().align_offset(PAGE as usize);
        let bytes = &mut memory[start..start + len];
        for (n, page) in bytes.chunks_mut(PAGE as usize).enumerate() {
            let offset = read.offset + n as u64 * PAGE;
            let image = usize::try_from(offset)
                .ok()
                .and_then(|at| self.image.get(at..));
            match image.filter(|rest| !rest.is_empty()) {
                Some(rest) => page.copy_from_slice(&rest[..PAGE as usize]),
                None => page[..8].copy_from_slice(&number_of(offset)),
            }
        }
        let written = object.pwrite(bytes, read.offset)?;
        ensure!(written == len, "{written} of {len} bytes were written");
        object.complete(read.id)?;
        Ok(())
    }

    /// Serves all messages until `task` has ended, and returns its result.
    ///
    /// # Errors
    /// Those of the task and of the calls; the task takes longer than two minutes.
    pub(super) fn serve<T>(&mut self, task: JoinHandle<Result<T>>) -> Result<T> {
        let begun = Instant::now();
        while !task.is_finished() {
            ensure!(begun.elapsed() < LIMIT, "the task waits after {LIMIT:?}");
            match self.receive()? {
                Some(Received::Read(read)) => self.answer(&read)?,
                Some(Received::Other) => {}
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        match task.join() {
            Ok(result) => result,
            Err(_) => bail!("the task panicked"),
        }
    }

    /// The READs of a blob so far, in bytes.
    pub(super) fn asked(&self, blob: &str) -> &[Range<u64>] {
        self.asked.get(blob).map_or(&[], Vec::as_slice)
    }

    /// Returns the duration of a poll(2) that does not wait.
    ///
    /// # Errors
    /// Those of poll(2); the device reports no message.
    pub(super) fn poll(&self) -> Result<Duration> {
        let begun = Instant::now();
        let ready = self.device.poll(Some(Duration::ZERO))?;
        let took = begun.elapsed();
        ensure!(ready.message, "the device is not readable after a flood");
        Ok(took)
    }

    /// Closes the device, and then the objects. Returns the duration of the former.
    pub(super) fn close(self) -> Duration {
        let begun = Instant::now();
        drop(self.device);
        begun.elapsed()
    }
}

/// A message from [`Daemon::receive`].
pub(super) enum Received {
    /// A READ, to be answered.
    Read(Read),
    /// An OPEN or a CLOSE, which needs nothing more.
    Other,
}

/// The first bytes of the page at `offset` of a blob.
pub(super) fn number_of(offset: u64) -> [u8; 8] {
    (offset / PAGE).to_le_bytes()
}
