// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon in a process of its own, to be killed, that leaves an account of what it fetched.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use ondined::backend::{Backend, BackendError, Blob, Local};
use ondined::plan::{Plan, DIED};
use ondined::protocol::{Device, DEVICE};
use ondined::session::{bind, raise_descriptor_limit, Options, Session};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// Requests that a daemon answers at once.
const THREADS: usize = 4;

/// What a daemon is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// This program: where to start it from.
    pub(super) program: PathBuf,
    /// Directory of the cache.
    pub(super) cache: PathBuf,
    /// Directory with the blobs. What follows a `~` in a blob's name is no part of its file's.
    pub(super) blobs: PathBuf,
    /// File that gets a line for each fetch, before it begins.
    pub(super) ledger: PathBuf,
    /// Longest time that a fetch takes beside reading, in microseconds.
    pub(super) latency_us: u64,
    /// What it does wrong.
    pub(super) plan: Plan,
}

/// One fetch from the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetch {
    thread: i32,
    pub(super) blob: String,
    pub(super) bytes: Range<u64>,
}

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    ledger: PathBuf,
}

/// `vmtest guest serve`: brings the cache online and answers until it is killed.
///
/// # Errors
/// The kernel refuses, or calls the cache dead.
pub(crate) fn serve(service: &Service) -> Result<()> {
    let backend = Recorder {
        blobs: Local::new(&service.blobs)?,
        ledger: OpenOptions::new()
            .create(true)
            .append(true)
            .open(&service.ledger)?,
        latency_us: service.latency_us,
    };
    raise_descriptor_limit().context("the limit of descriptors")?;
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

/// A backend that tells what is asked of it.
struct Recorder {
    blobs: Local,
    ledger: File,
    latency_us: u64,
}

fn file_of(blob: &Blob) -> Blob {
    let name = blob.cookie.split(|byte| *byte == b'~').next();
    Blob {
        cookie: name.unwrap_or_default().to_vec(),
        ..blob.clone()
    }
}

impl Backend for Recorder {
    fn size(&self, blob: &Blob) -> Result<Option<u64>, BackendError> {
        self.blobs.size(&file_of(blob))
    }

    fn read(&self, blob: &Blob, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let name = blob.cookie.escape_ascii();
        let line = format!("{thread} {name} {offset} {}\n", buffer.len());
        // One write of a few bytes: a kill leaves all of it or nothing.
        let failed = |error| BackendError::File {
            path: PathBuf::from("the ledger"),
            error,
        };
        (&self.ledger).write_all(line.as_bytes()).map_err(failed)?;
        if self.latency_us > 0 {
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..self.latency_us)));
        }
        self.blobs.read(&file_of(blob), offset, buffer)
    }
}

impl Daemon {
    /// Starts one and waits until images can be mounted.
    ///
    /// # Errors
    /// It ended instead; what it said is on standard error.
    pub(super) fn start(service: &Service) -> Result<Self> {
        let job = service.ledger.with_extension("job");
        fs::write(&job, serde_json::to_vec(service)?)?;
        fs::write(&service.ledger, "")?;
        let mut child = Command::new(&service.program)
            .args(["guest", "serve"])
            .arg(&job)
            .arg("/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a daemon")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the daemon's output")?;
        BufReader::new(output).read_line(&mut line)?;
        let daemon = Self {
            child,
            ledger: service.ledger.clone(),
        };
        ensure!(
            line == "ready\n",
            "the daemon did not start (it says why above)"
        );
        Ok(daemon)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// SIGKILL; afterwards all its descriptors are closed.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(super) fn kill(mut self) -> Result<Vec<Fetch>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon ended by itself: {status}");
        }
        self.end();
        self.fetched()
    }

    /// SIGKILL, unless a rule of its plan has ended it; whether one had.
    ///
    /// # Errors
    /// It had ended for another reason.
    pub(super) fn put_away(mut self) -> Result<bool> {
        let Some(status) = self.child.try_wait()? else {
            self.end();
            return Ok(false);
        };
        ensure!(
            status.code() == Some(DIED),
            "the daemon ended by itself: {status}"
        );
        Ok(true)
    }

    /// Whether it lives, in words.
    pub(super) fn state(&mut self) -> String {
        match self.child.try_wait() {
            Ok(None) => "the daemon lives".to_owned(),
            Ok(Some(status)) => format!("the daemon ended by itself: {status}"),
            Err(error) => format!("of the daemon nothing is known: {error}"),
        }
    }

    /// What it fetched, or began to.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn fetched(&self) -> Result<Vec<Fetch>> {
        fetched(&self.ledger)
    }

    /// How many bytes it fetched, or began to.
    pub(super) fn began(&self) -> u64 {
        // The ledger is there since it was started.
        self.fetched().map_or(0, |fetches| bytes(&fetches))
    }

    /// How many fetches it began: cheaper than [`Self::fetched`].
    pub(super) fn fetches(&self) -> u64 {
        fs::read(&self.ledger).map_or(0, |text| {
            text.iter().filter(|b| **b == b'\n').count() as u64
        })
    }

    fn end(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the daemon with this ledger fetched, or began to.
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
        bail!("the ledger has a line {line:?}");
    };
    let offset: u64 = offset.parse()?;
    Ok(Fetch {
        thread: thread.parse()?,
        blob: blob.to_owned(),
        bytes: offset..offset + len.parse::<u64>()?,
    })
}

/// Bytes of `fetches`.
pub(super) fn bytes(fetches: &[Fetch]) -> u64 {
    fetches.iter().map(|f| f.bytes.end - f.bytes.start).sum()
}

/// Those of `fetches` that are written: a thread fetches the next piece only after the last one was,
/// so its last piece alone may be not.
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

/// What `later` fetched again although it was `written`.
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
        let blob = Blob {
            volume: b"v".to_vec(),
            cookie: b"blob-1~7".to_vec(),
        };
        assert_eq!(file_of(&blob).cookie, b"blob-1");
    }
}
