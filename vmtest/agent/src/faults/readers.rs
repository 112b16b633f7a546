// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Concurrent readers of a mount that compare all data with its expected contents.

use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use rustix::fs::{Mode, OFlags};
use vmtest_wire::fixtures::Sample;

use super::hang_detector;
use crate::fault_injection::injected;
use crate::read_path::{PathReader, ReadPath};

/// Number of reader threads.
pub(super) const READERS: usize = 8;
/// Largest size of a read in bytes.
const PIECE: usize = 96 << 10;

/// Reader threads on one tree. Each reads all files, in an order of its own.
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Root of the tree: a detached mount can no longer be reached by path.
    root: OwnedFd,
    samples: Arc<Vec<Sample>>,
    /// Sequence count of error windows, as of a seqcount: odd while a window is open and reads may
    /// fail, even while an error is a failure of the test.
    windows: AtomicU64,
    /// Errnos that are allowed in an error window.
    allowed: &'static [i32],
    /// True if calls fail by injection, one now and then, for as long as the readers run.
    injected: bool,
    /// Number of readers that met an allowed error and wait for the window to close.
    paused: AtomicU64,
    /// Number of readers that have ended.
    finished: AtomicU64,
    /// Number of allowed errors.
    errors: AtomicU64,
    /// Longest duration of a read or an open, in microseconds.
    longest: AtomicU64,
    /// Shortest duration of a read that failed with ETIMEDOUT, in microseconds.
    soonest: AtomicU64,
    stop: AtomicBool,
    wrong: Mutex<Vec<String>>,
    /// Completed reads: index of the sample, and byte range.
    read: Mutex<Vec<(usize, Range<usize>)>>,
}

/// Results of finished readers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReaderTotals {
    /// Number of reads that failed in an error window.
    pub(super) errors: u64,
    /// Longest duration of a read or an open.
    pub(super) longest: Duration,
    /// Shortest duration of a read that failed with ETIMEDOUT.
    pub(super) soonest: Option<Duration>,
}

impl Readers {
    /// Starts readers on the tree at `root`, with no error window open.
    ///
    /// # Errors
    /// The tree cannot be opened.
    pub(super) fn start(root: &Path, samples: &Arc<Vec<Sample>>, seed: u64) -> Result<Self> {
        Self::start_in(root, samples, seed, 0, &[libc::EIO])
    }

    /// Starts readers in an open error window, in which reads may fail with one of `errors`.
    ///
    /// # Errors
    /// The tree cannot be opened.
    pub(super) fn start_in_error_window(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        errors: &'static [i32],
    ) -> Result<Self> {
        Self::start_in(root, samples, seed, 1, errors)
    }

    /// Starts readers whose calls fail by [`injected`], each with one of `errors`. A failed call is
    /// repeated at once.
    ///
    /// # Errors
    /// The tree cannot be opened.
    pub(super) fn start_injected(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        errors: &'static [i32],
    ) -> Result<Self> {
        Self::start_with(root, samples, seed, 1, errors, true)
    }

    fn start_in(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        windows: u64,
        allowed: &'static [i32],
    ) -> Result<Self> {
        Self::start_with(root, samples, seed, windows, allowed, false)
    }

    fn start_with(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        windows: u64,
        allowed: &'static [i32],
        injected: bool,
    ) -> Result<Self> {
        let root = rustix::fs::open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let shared = Arc::new(Shared {
            root,
            samples: Arc::clone(samples),
            windows: AtomicU64::new(windows),
            allowed,
            injected,
            paused: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            soonest: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
            wrong: Mutex::default(),
            read: Mutex::default(),
        });
        let reader = |n| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let rng = fastrand::Rng::with_seed(seed.wrapping_add(n as u64));
                if let Err(why) = shared.run(rng) {
                    shared.complain(format!("reader {n}: {why:#}"));
                }
                shared.finished.fetch_add(1, SeqCst);
            })
        };
        let threads = (0..READERS).map(reader).collect();
        Ok(Self { shared, threads })
    }

    /// Opens the error window: reads may fail from now on.
    pub(super) fn open_error_window(&self) {
        self.shared.windows.fetch_or(1, SeqCst);
    }

    /// Closes the error window: reads that begin from now on may not fail.
    pub(super) fn close_error_window(&self) {
        let windows = &self.shared.windows;
        // The next even number, whether a window is open or not.
        let _ = windows.fetch_update(SeqCst, SeqCst, |s| Some((s | 1) + 1));
    }

    /// Returns true if each reader has ended, or waits for the error window to close.
    pub(super) fn is_idle(&self) -> bool {
        let shared = &self.shared;
        shared.finished.load(SeqCst) + shared.paused.load(SeqCst) == READERS as u64
    }

    /// Returns true if a reader met wrong data or a disallowed error.
    pub(super) fn is_wrong(&self) -> bool {
        !self.shared.lock(&self.shared.wrong).is_empty()
    }

    /// Reads again, with cold caches, up to `count` ranges that were read before: they must be in
    /// the cache.
    ///
    /// # Errors
    /// A range cannot be read, or differs.
    pub(super) fn recall(&self, rng: &mut fastrand::Rng, count: usize) -> Result<()> {
        let mut read = self.shared.lock(&self.shared.read).clone();
        rng.shuffle(&mut read);
        let walker = PathReader::new()?;
        for (sample, range) in read.into_iter().take(count) {
            let (sample, way) = (&self.shared.samples[sample], ReadPath::any(rng));
            let again = || {
                let file = self.shared.open(sample)?;
                let mut at = range.start;
                while at < range.end {
                    let mut buffer = vec![0; range.end - at];
                    let count = walker.read(way, &file, at, &mut buffer)?;
                    ensure!(count > 0, "the file ends at {at}");
                    compare(sample, at, &buffer[..count])?;
                    at += count;
                }
                Ok(())
            };
            again().with_context(|| {
                let path = &sample.path;
                format!("{path} {range:?}, which was read before, now by {way:?}")
            })?;
        }
        Ok(())
    }

    /// Waits until all readers have ended. Afterwards no file of the tree is open.
    ///
    /// # Errors
    /// A reader met wrong data or a disallowed error, or hangs.
    pub(super) fn finish(mut self) -> Result<ReaderTotals> {
        let shared = &self.shared;
        let through = || shared.finished.load(SeqCst) == READERS as u64;
        hang_detector::until("the readers finish", through)?;
        for thread in self.threads.drain(..) {
            // The panic itself was printed.
            ensure!(thread.join().is_ok(), "a reader panicked");
        }
        let wrong = shared.lock(&shared.wrong);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        let soonest = shared.soonest.load(SeqCst);
        Ok(ReaderTotals {
            errors: shared.errors.load(SeqCst),
            longest: Duration::from_micros(shared.longest.load(SeqCst)),
            soonest: (soonest != u64::MAX).then(|| Duration::from_micros(soonest)),
        })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
    }
}

impl Shared {
    fn lock<'a, T>(&self, what: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        what.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complain(&self, what: String) {
        self.lock(&self.wrong).push(what);
    }

    fn open(&self, sample: &Sample) -> std::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.root, &sample.path, flags, Mode::empty())?.into())
    }

    fn run(&self, mut rng: fastrand::Rng) -> Result<()> {
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        rng.shuffle(&mut order);
        let walker = PathReader::new()?;
        for n in order {
            let sample = &self.samples[n];
            let Some(file) = self.retry_after_error(|| self.open(sample))? else {
                return Ok(());
            };
            let mut pieces = pieces(sample.bytes.len(), &mut rng);
            if rng.bool() {
                rng.shuffle(&mut pieces);
            }
            for piece in pieces {
                let way = ReadPath::any(&mut rng);
                let mut at = piece.start;
                while at < piece.end {
                    let mut buffer = vec![0; piece.end - at];
                    let read = || walker.read(way, &file, at, &mut buffer);
                    let place = || format!("{way:?} of {} at {at}", sample.path);
                    let Some(count) = self.retry_after_error(read).with_context(place)? else {
                        return Ok(());
                    };
                    ensure!(count > 0, "{} ends at {at}", sample.path);
                    compare(sample, at, &buffer[..count]).with_context(place)?;
                    at += count;
                }
                self.lock(&self.read).push((n, piece));
            }
        }
        Ok(())
    }

    /// Calls `read` until it succeeds, and returns its value. After an allowed error it waits until
    /// the error window is closed. None: the readers are dropped.
    fn retry_after_error<T>(
        &self,
        mut read: impl FnMut() -> std::io::Result<T>,
    ) -> Result<Option<T>> {
        loop {
            let before = self.windows.load(SeqCst);
            let begin = Instant::now();
            let done = if self.injected {
                injected(&mut read)?
            } else {
                read()
            };
            let took = begin.elapsed().as_micros() as u64;
            self.longest.fetch_max(took, SeqCst);
            let error = match done {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            let after = self.windows.load(SeqCst);
            if before == after && before % 2 == 0 {
                let when = if before == 0 { "before" } else { "after" };
                bail!("an error {when} the error window: {error}");
            }
            let errno = error.raw_os_error();
            ensure!(
                errno.is_some_and(|errno| self.allowed.contains(&errno)),
                "an errno that the fault must not cause: {error}"
            );
            if errno == Some(libc::ETIMEDOUT) {
                self.soonest.fetch_min(took, SeqCst);
            }
            self.errors.fetch_add(1, SeqCst);
            if self.injected {
                continue;
            }
            self.paused.fetch_add(1, SeqCst);
            while self.windows.load(SeqCst) % 2 == 1 {
                if self.stop.load(SeqCst) {
                    return Ok(None);
                }
                thread::sleep(Duration::from_millis(1));
            }
            self.paused.fetch_sub(1, SeqCst);
        }
    }
}

/// Splits `len` bytes into ranges of random sizes.
fn pieces(len: usize, rng: &mut fastrand::Rng) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < len {
        let end = (at + rng.usize(1..=PIECE)).min(len);
        pieces.push(at..end);
        at = end;
    }
    pieces
}

/// Compares `bytes`, read from `sample` at offset `at`, with the expected contents.
///
/// # Errors
/// The data differs. The error has the first wrong offset and the number of zeros.
pub(super) fn compare(sample: &Sample, at: usize, bytes: &[u8]) -> Result<()> {
    let want = &sample.bytes[at..at + bytes.len()];
    if want == bytes {
        return Ok(());
    }
    let first = want
        .iter()
        .zip(bytes)
        .position(|(a, b)| a != b)
        .unwrap_or(0);
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    bail!(
        "WRONG BYTES in {} from {}: {zeros} zeros in a read of {} at {at}",
        sample.path,
        at + first,
        bytes.len()
    )
}
