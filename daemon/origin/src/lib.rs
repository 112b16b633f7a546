// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An HTTP/1.1 server of the files of one directory, for tests: with single ranges, an artificial latency
//! and a record of the requests in flight.
//!
//! | type | stands for |
//! | --- | --- |
//! | [`Origin`] | the running server |
//! | [`Options`] | its directory, its latency, and whether it supports ranges |
//! | [`InFlight`] | one entry of its record |
//!
//! Each connection has a thread of its own. With a pool, an idle connection that is kept alive would
//! occupy a thread, and latencies would be those of the pool.

mod connection;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{anyhow, Context as _, Result};
use connection::{Request, Response};
use percent_encoding::percent_decode_str;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory to serve, with its subdirectories.
    pub root: PathBuf,
    /// Delay before each response.
    pub latency: Duration,
    /// True if range requests are supported. Otherwise each response is the whole file, with
    /// status 200.
    pub ranges: bool,
}

/// A running server. Dropping it closes its connections.
pub struct Origin {
    shared: Arc<ServerState>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

struct ServerState {
    options: Options,
    stopping: AtomicBool,
    log: Mutex<RequestLog>,
}

/// Record of the requests so far.
#[derive(Default)]
struct RequestLog {
    requests: u64,
    in_flight: Vec<InFlight>,
    connections: Vec<TcpStream>,
}

/// Number of requests in flight after one was received or responded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Time of the change.
    pub at: Instant,
    /// Requests in flight from then on.
    pub in_flight: usize,
}

impl Origin {
    /// Starts a server on `address`; port 0 selects a free one.
    ///
    /// # Errors
    /// The address is unusable, or the root is not a directory.
    pub fn listen(address: &str, options: Options) -> Result<Self> {
        if !options.root.is_dir() {
            return Err(anyhow!("{} is not a directory", options.root.display()));
        }
        let listener =
            TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(ServerState {
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

    /// URL of the directory.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes of the number of requests in flight, since the start. A request is in flight until its
    /// response was sent.
    pub fn flight(&self) -> Vec<InFlight> {
        self.shared.log().in_flight.clone()
    }

    /// Number of requests received so far.
    pub fn requests(&self) -> u64 {
        self.shared.log().requests
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Unblocks accept(2) by a last connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.accepting.take() {
            // A panic of the thread was already reported.
            let _ = thread.join();
        }
        for connection in &self.shared.log().connections {
            // Fails if the client has closed it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(shared: &Arc<ServerState>, listener: &TcpListener) {
    for connection in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(connection) = connection else { continue };
        if let Ok(copy) = connection.try_clone() {
            shared.log().connections.push(copy);
        }
        let shared = Arc::clone(shared);
        // A client may close its connection at any time, so errors are ignored.
        thread::spawn(move || connection::serve(&connection, |request| shared.respond(&request)));
    }
}

impl ServerState {
    fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a change of the number of requests in flight.
    fn record(&self, change: impl FnOnce(usize) -> usize) {
        let log = &mut self.log().in_flight;
        let before = log.last().map_or(0, |entry| entry.in_flight);
        log.push(InFlight {
            at: Instant::now(),
            in_flight: change(before),
        });
    }

    fn respond(self: &Arc<Self>, request: &Request) -> Response {
        self.log().requests += 1;
        self.record(|before| before + 1);
        thread::sleep(self.options.latency);
        let response = self.file(request).unwrap_or_else(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => 404,
                _ => 500,
            };
            Response::empty(status)
        });
        let shared = Arc::clone(self);
        response.on_sent(move || shared.record(|before| before - 1))
    }

    /// The file or the part of it that `request` names.
    fn file(&self, request: &Request) -> io::Result<Response> {
        let path = percent_decode_str(request.path.trim_start_matches('/'));
        let path = path.decode_utf8().map_err(io::Error::other)?;
        let path = Path::new(&*path);
        if !path.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut file = File::open(self.options.root.join(path))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let size = metadata.len();
        let changed = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        let tag = format!("\"{}-{changed}\"", metadata.ino());
        let wanted = request.range.as_deref().filter(|_| self.options.ranges);
        let (status, start, len, range) = match wanted.map(|header| range(header, size)) {
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
        Ok(Response::new(status, range, tag, file.take(len)))
    }
}

/// First and last byte of the range in a `Range` header, cut at the end of a file of `size` bytes; `None`
/// if the range is past it or the header is not one range.
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
    fn a_range_is_cut_at_the_end_of_the_file() {
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
