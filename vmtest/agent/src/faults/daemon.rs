// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon in a separate process, meant to be killed, that records its fetches in a ledger file.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use ondined::backend::{Backend, BackendError, BlobKey, Local, Version};
use ondined::misbehaviour::{Plan, DIED};
use ondined::protocol::{Device, DEVICE};
use ondined::session::{bind, raise_descriptor_limit, Options, Session};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use vmtest_wire::task::Task;

use crate::process::{guest_program, Process};

/// Number of worker threads of a daemon.
const THREADS: usize = 4;

/// Configuration of a daemon, the job of `vmtest guest fault-daemon`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Executable of this program, to start the daemon from.
    pub(super) program: PathBuf,
    /// Directory of the cache.
    pub(super) cache: PathBuf,
    /// Directory of the blobs. A blob's file name is its cookie up to the first `~`.
    pub(super) blobs: PathBuf,
    /// Ledger file: one line for each fetch, written before the fetch begins.
    pub(super) ledger: PathBuf,
    /// Longest random delay of a fetch in microseconds, in addition to reading the blob.
    pub(super) latency_us: u64,
    /// Protocol violations to commit.
    pub(super) plan: Plan,
}

impl Task for Service {
    const NAME: &'static str = "fault-daemon";
    type Answer = ();
}

/// A fetch of a range of bytes from the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetch {
    thread: i32,
    pub(super) blob: String,
    pub(super) bytes: Range<u64>,
}

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Process,
    ledger: PathBuf,
}

/// Runs `vmtest guest fault-daemon`: binds the cache and answers requests until it is killed.
///
/// # Errors
/// The kernel refuses the bind, or reports the cache as dead.
pub(crate) fn serve(service: &Service) -> Result<()> {
    let backend = Recorder {
        blobs: Local::new(&service.blobs)?,
        ledger: OpenOptions::new()
            .create(true)
            .append(true)
            .open(&service.ledger)?,
        latency_us: service.latency_us,
    };
    raise_descriptor_limit().context("raising the limit of open files")?;
    let device = Device::open(Path::new(DEVICE)).context(DEVICE)?;
    bind(&device, &service.cache, None)?;
    let options = Options {
        threads: THREADS,
        plan: service.plan.clone(),
        ..Options::default()
    };
    let session = Session::new(device, backend, options)?;
    println!("ready");
    Ok(session.run()?)
}

/// Backend over local blobs that records each fetch in the ledger.
struct Recorder {
    blobs: Local,
    ledger: File,
    latency_us: u64,
}

fn file_of(blob: &BlobKey) -> BlobKey {
    let name = blob.cookie.split(|byte| *byte == b'~').next();
    BlobKey {
        cookie: name.unwrap_or_default().to_vec(),
        ..blob.clone()
    }
}

impl Backend for Recorder {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        self.blobs.version(&file_of(blob))
    }

    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let name = blob.cookie.escape_ascii();
        let line = format!("{thread} {name} {offset} {}\n", buffer.len());
        // One short write(2): a kill leaves the whole line or nothing.
        let failed = |error| BackendError::File {
            path: PathBuf::from("the ledger"),
            error,
        };
        (&self.ledger).write_all(line.as_bytes()).map_err(failed)?;
        if self.latency_us > 0 {
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..self.latency_us)));
        }
        self.blobs.read(&file_of(blob), version, offset, buffer)
    }
}

impl Daemon {
    /// Starts a daemon and waits until images can be mounted.
    ///
    /// # Errors
    /// The daemon ended instead of becoming ready; its messages are on standard error.
    pub(super) fn start(service: &Service) -> Result<Self> {
        fs::write(&service.ledger, "")?;
        let job = service.ledger.with_extension("job");
        let mut command = guest_program(&service.program, service, &job)?;
        Ok(Self {
            process: Process::ready(&mut command)?,
            ledger: service.ledger.clone(),
        })
    }

    /// Sends a signal to the daemon.
    ///
    /// # Errors
    /// The daemon has ended.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills the daemon with SIGKILL and returns its fetches. Afterwards all its descriptors are
    /// closed.
    ///
    /// # Errors
    /// The daemon had ended by itself.
    pub(super) fn kill(self) -> Result<Vec<Fetch>> {
        self.process.kill().context("the daemon")?;
        fetched(&self.ledger)
    }

    /// Kills the daemon with SIGKILL. Returns true if it had already ended because a rule of its
    /// plan said so.
    ///
    /// # Errors
    /// The daemon had ended for another reason.
    pub(super) fn put_away(mut self) -> Result<bool> {
        let Some(status) = self.process.status()? else {
            self.process.kill()?;
            return Ok(false);
        };
        ensure!(
            status.code() == Some(DIED),
            "the daemon ended by itself: {status}"
        );
        Ok(true)
    }

    /// Describes for an error message whether the daemon is alive.
    pub(super) fn state(&mut self) -> String {
        match self.process.status() {
            Ok(None) => "the daemon is alive".to_owned(),
            Ok(Some(status)) => format!("the daemon ended by itself: {status}"),
            Err(error) => format!("the daemon's status is unknown: {error}"),
        }
    }

    /// Returns the fetches begun so far, from the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn fetched(&self) -> Result<Vec<Fetch>> {
        fetched(&self.ledger)
    }

    /// Returns the number of bytes of all fetches begun so far.
    pub(super) fn began(&self) -> u64 {
        // The ledger exists since `start()`.
        self.fetched().map_or(0, |fetches| bytes(&fetches))
    }

    /// Returns the number of fetches begun so far; cheaper than [`Self::fetched`].
    pub(super) fn fetches(&self) -> u64 {
        fs::read(&self.ledger).map_or(0, |text| {
            text.iter().filter(|b| **b == b'\n').count() as u64
        })
    }
}

/// Returns the fetches in `ledger`, in the order in which they began.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn fetched(ledger: &Path) -> Result<Vec<Fetch>> {
    let text = fs::read_to_string(ledger)?;
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Fetch> {
    let words: Vec<&str> = line.split(' ').collect();
    let [thread, blob, offset, len] = words[..] else {
        bail!("invalid line in the ledger: {line:?}");
    };
    let offset: u64 = offset.parse()?;
    Ok(Fetch {
        thread: thread.parse()?,
        blob: blob.to_owned(),
        bytes: offset..offset + len.parse::<u64>()?,
    })
}

/// Total size of `fetches` in bytes.
pub(super) fn bytes(fetches: &[Fetch]) -> u64 {
    fetches.iter().map(|f| f.bytes.end - f.bytes.start).sum()
}

/// Returns the fetches whose data is certainly in the cache. A thread writes a piece before it
/// fetches the next one, so only the last fetch of each thread may be unwritten.
pub(super) fn written(fetches: &[Fetch]) -> Vec<Fetch> {
    let mut last = HashMap::new();
    for (n, fetch) in fetches.iter().enumerate() {
        last.insert(fetch.thread, n);
    }
    let is_last = |n: usize| last.get(&fetches[n].thread) == Some(&n);
    (0..fetches.len())
        .filter(|n| !is_last(*n))
        .map(|n| fetches[n].clone())
        .collect()
}

/// Returns the fetches of `later` that overlap `written` ones.
pub(super) fn lost<'a>(written: &[Fetch], later: &'a [Fetch]) -> Vec<&'a Fetch> {
    let again = |fetch: &&Fetch| {
        written.iter().any(|old| {
            old.blob == fetch.blob
                && old.bytes.start < fetch.bytes.end
                && fetch.bytes.start < old.bytes.end
        })
    };
    later.iter().filter(again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_in_flight_may_be_fetched_again() {
        let ledger =
            |text: &str| -> Vec<Fetch> { text.lines().map(|l| parse(l).unwrap()).collect() };
        let earlier = ledger("7 blob 0 4096\n8 blob 4096 4096\n7 blob 8192 100");
        assert_eq!(bytes(&earlier), 8292);
        let written = written(&earlier);
        assert_eq!(written, earlier[..1]);
        let later = ledger("9 blob 8192 100\n9 blob 4096 4096\n9 other 0 4096");
        assert!(lost(&written, &later).is_empty());
        let later = ledger("9 blob 4095 2");
        assert_eq!(lost(&written, &later).len(), 1);
        assert!(parse("1 blob 2").is_err());
    }

    #[test]
    fn a_tilde_ends_the_files_name() {
        let blob = BlobKey {
            volume: b"v".to_vec(),
            cookie: b"blob-1~7".to_vec(),
        };
        assert_eq!(file_of(&blob).cookie, b"blob-1");
    }
}
