// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An HTTP/1.1 server of the files of one directory, for tests: single ranges, a latency for every
//! request, and a switch that makes it ignore ranges as simple servers do.
//!
//! Each connection has a thread of its own: a pool lets a connection wait while another one is kept
//! alive, and then it is the pool that is measured.

mod connection;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{anyhow, Context as _, Result};
use connection::{Answer, Request};
use percent_encoding::percent_decode_str;

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; files directly in it and below.
    pub root: PathBuf,
    /// Time that passes before each answer.
    pub latency: Duration,
    /// Whether `Range` is honoured; otherwise every answer is the whole file with 200.
    pub ranges: bool,
}

/// A server that runs until it is dropped.
pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    options: Options,
    stopping: AtomicBool,
    log: Mutex<Log>,
}

/// What happened so far.
#[derive(Default)]
struct Log {
    requests: u64,
    changes: Vec<Change>,
    connections: Vec<TcpStream>,
}

/// A request came, or was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// Requests that are in flight from then on.
    pub in_flight: usize,
}

impl Origin {
    /// Listens on `address`; port 0 takes any.
    ///
    /// # Errors
    /// The address cannot be listened on, or the root is not a directory.
    pub fn listen(address: &str, options: Options) -> Result<Self> {
        if !options.root.is_dir() {
            return Err(anyhow!("{} is not a directory", options.root.display()));
        }
        let listener =
            TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            options,
            stopping: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&shared, &listener))
        };
        Ok(Self {
            shared,
            address,
            accepting: Some(accepting),
        })
    }

    /// The URL of the directory.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// When how many requests were in flight, from the first one on. An answer that is being sent is
    /// in flight still.
    pub fn flight(&self) -> Vec<Change> {
        self.shared.log().changes.clone()
    }

    /// Requests taken so far.
    pub fn requests(&self) -> u64 {
        self.shared.log().requests
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // It waits for a connection: here is the last one.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.accepting.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        for connection in &self.shared.log().connections {
            // The other side may have been quicker.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for connection in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(connection) = connection else { continue };
        if let Ok(copy) = connection.try_clone() {
            shared.log().connections.push(copy);
        }
        let shared = Arc::clone(shared);
        // The client may be gone at any time, which is its own affair.
        thread::spawn(move || connection::serve(&connection, |request| shared.answer(&request)));
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, change: impl FnOnce(usize) -> usize) {
        let changes = &mut self.log().changes;
        let before = changes.last().map_or(0, |change| change.in_flight);
        changes.push(Change {
            at: Instant::now(),
            in_flight: change(before),
        });
    }

    fn answer(self: &Arc<Self>, request: &Request) -> Answer {
        self.log().requests += 1;
        self.turn(|before| before + 1);
        thread::sleep(self.options.latency);
        let answer = self.file(request).unwrap_or_else(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => 404,
                _ => 500,
            };
            Answer::empty(status)
        });
        let shared = Arc::clone(self);
        answer.then(move || shared.turn(|before| before - 1))
    }

    fn file(&self, request: &Request) -> io::Result<Answer> {
        let path = percent_decode_str(request.path.trim_start_matches('/'));
        let path = path.decode_utf8().map_err(io::Error::other)?;
        let path = Path::new(&*path);
        if !path.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut file = File::open(self.options.root.join(path))?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let size = file.metadata()?.len();
        let asked = request.range.as_deref().filter(|_| self.options.ranges);
        let (status, start, len, range) = match asked.map(|header| range(header, size)) {
            None => (200, 0, size, None),
            Some(None) => (416, 0, 0, Some(format!("bytes */{size}"))),
            Some(Some((start, end))) => (
                206,
                start,
                end - start + 1,
                Some(format!("bytes {start}-{end}/{size}")),
            ),
        };
        file.seek(SeekFrom::Start(start))?;
        Ok(Answer::new(status, range, file.take(len)))
    }
}

/// First and last byte of the only range of `header` that a file of `size` bytes has.
fn range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-0", 10), Some((0, 0)));
        assert_eq!(range("bytes=3-99", 10), Some((3, 9)));
        assert_eq!(range("bytes=3-", 10), Some((3, 9)));
        assert_eq!(range("bytes=-4", 10), Some((6, 9)));
        assert_eq!(range("bytes=-40", 10), Some((0, 9)));
        for none in [
            "bytes=10-",
            "bytes=0-0,2-2",
            "bytes=-0",
            "bytes=4-2",
            "lines=1-2",
        ] {
            assert_eq!(range(none, 10), None, "{none}");
        }
        assert_eq!(range("bytes=0-0", 0), None);
    }
}
