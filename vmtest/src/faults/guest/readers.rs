// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Readers that compare everything they read with what it must be.

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

use super::watch;
use super::ways::{Walker, Way};
use crate::faults::sample::Sample;

/// Readers at once.
pub(super) const READERS: usize = 8;
/// Bytes that one read asks for at most.
const PIECE: usize = 96 << 10;

/// Readers of one tree, each of which reads all of it.
pub(super) struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// The tree's root: a mount that is detached has no path any more.
    root: OwnedFd,
    samples: Arc<Vec<Sample>>,
    /// Even while errors are wrong, odd while reads may fail.
    weather: AtomicU64,
    /// How they may fail.
    allowed: &'static [i32],
    /// Readers that met an error and wait for better weather.
    sheltered: AtomicU64,
    /// Readers that are through.
    finished: AtomicU64,
    /// Errors that were allowed.
    errors: AtomicU64,
    /// The longest time of a read, or of opening a file, in microseconds.
    longest: AtomicU64,
    stop: AtomicBool,
    wrong: Mutex<Vec<String>>,
    /// What was read: sample and range.
    read: Mutex<Vec<(usize, Range<usize>)>>,
}

/// What a crowd met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// Reads that failed while they might.
    pub(super) errors: u64,
    /// The longest time that a read took, or opening a file.
    pub(super) longest: Duration,
}

impl Crowd {
    /// Sends them off into the tree at `root`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn start(root: &Path, samples: &Arc<Vec<Sample>>, seed: u64) -> Result<Self> {
        Self::start_in(root, samples, seed, 0, &[libc::EIO])
    }

    /// The same, and reads may fail from the beginning, with one of `errors`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn start_in_storm(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        errors: &'static [i32],
    ) -> Result<Self> {
        Self::start_in(root, samples, seed, 1, errors)
    }

    fn start_in(
        root: &Path,
        samples: &Arc<Vec<Sample>>,
        seed: u64,
        weather: u64,
        allowed: &'static [i32],
    ) -> Result<Self> {
        let root = rustix::fs::open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let shared = Arc::new(Shared {
            root,
            samples: Arc::clone(samples),
            weather: AtomicU64::new(weather),
            allowed,
            sheltered: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            longest: AtomicU64::new(0),
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

    /// From now on reads may fail.
    pub(super) fn storm(&self) {
        self.shared.weather.fetch_or(1, SeqCst);
    }

    /// Reads that begin from now on may not fail.
    pub(super) fn calm(&self) {
        let weather = &self.shared.weather;
        // The next even number.
        let _ = weather.fetch_update(SeqCst, SeqCst, |w| Some((w | 1) + 1));
    }

    /// Whether each reader is through, or waits for calm.
    pub(super) fn is_idle(&self) -> bool {
        let shared = &self.shared;
        shared.finished.load(SeqCst) + shared.sheltered.load(SeqCst) == READERS as u64
    }

    /// Whether there is something that no reader should have met.
    pub(super) fn is_wrong(&self) -> bool {
        !self.shared.lock(&self.shared.wrong).is_empty()
    }

    /// Reads again, with nothing cached, some of what was read: it must still be there.
    ///
    /// # Errors
    /// It is not, or is something else.
    pub(super) fn recall(&self, rng: &mut fastrand::Rng, count: usize) -> Result<()> {
        let mut read = self.shared.lock(&self.shared.read).clone();
        rng.shuffle(&mut read);
        let walker = Walker::new()?;
        for (sample, range) in read.into_iter().take(count) {
            let (sample, way) = (&self.shared.samples[sample], Way::any(rng));
            let again = || {
                let file = self.shared.open(sample)?;
                let mut at = range.start;
                while at < range.end {
                    let mut buffer = vec![0; range.end - at];
                    let count = walker.read(way, &file, at, &mut buffer)?;
                    ensure!(count > 0, "it ends at {at}");
                    compare(sample, at, &buffer[..count])?;
                    at += count;
                }
                Ok(())
            };
            again().with_context(|| {
                let path = &sample.path;
                format!("{path} {range:?} was read before, now by {way:?}")
            })?;
        }
        Ok(())
    }

    /// Waits for the last reader; nothing in the tree is open then.
    ///
    /// # Errors
    /// What any of them met that it should not; a hang.
    pub(super) fn finish(mut self) -> Result<Met> {
        let shared = &self.shared;
        let through = || shared.finished.load(SeqCst) == READERS as u64;
        watch::until("the readers finish", through)?;
        for thread in self.threads.drain(..) {
            // A panic of a reader was printed, and is no success.
            ensure!(thread.join().is_ok(), "a reader panicked");
        }
        let wrong = shared.lock(&shared.wrong);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(Met {
            errors: shared.errors.load(SeqCst),
            longest: Duration::from_micros(shared.longest.load(SeqCst)),
        })
    }
}

impl Drop for Crowd {
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
        let walker = Walker::new()?;
        for n in order {
            let sample = &self.samples[n];
            let Some(file) = self.patiently(|| self.open(sample))? else {
                return Ok(());
            };
            let mut pieces = pieces(sample.bytes.len(), &mut rng);
            if rng.bool() {
                rng.shuffle(&mut pieces);
            }
            for piece in pieces {
                let way = Way::any(&mut rng);
                let mut at = piece.start;
                while at < piece.end {
                    let mut buffer = vec![0; piece.end - at];
                    let read = || walker.read(way, &file, at, &mut buffer);
                    let place = || format!("{way:?} of {} at {at}", sample.path);
                    let Some(count) = self.patiently(read).with_context(place)? else {
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

    /// What `read` gives; after an error in bad weather, what it gives once that is over. Nothing
    /// when the crowd is sent home.
    fn patiently<T>(&self, mut read: impl FnMut() -> std::io::Result<T>) -> Result<Option<T>> {
        loop {
            let before = self.weather.load(SeqCst);
            let begin = Instant::now();
            let done = read();
            let took = begin.elapsed().as_micros() as u64;
            self.longest.fetch_max(took, SeqCst);
            let error = match done {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            let after = self.weather.load(SeqCst);
            if before == after && before % 2 == 0 {
                let when = if before == 0 { "yet" } else { "again" };
                bail!("an error although all is well {when}: {error}");
            }
            let errno = error.raw_os_error();
            ensure!(
                errno.is_some_and(|errno| self.allowed.contains(&errno)),
                "the wrong error: {error}"
            );
            self.errors.fetch_add(1, SeqCst);
            self.sheltered.fetch_add(1, SeqCst);
            while self.weather.load(SeqCst) % 2 == 1 {
                if self.stop.load(SeqCst) {
                    return Ok(None);
                }
                thread::sleep(Duration::from_millis(1));
            }
            self.sheltered.fetch_sub(1, SeqCst);
        }
    }
}

/// A file in pieces.
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

/// Compares what was read of `sample` at `at`.
///
/// # Errors
/// Where it differs, and whether there are zeros.
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
