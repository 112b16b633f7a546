// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An HTTP/1.1 server of the files of one directory, for tests: single ranges, a latency for every
//! request, and a switch that makes it ignore ranges as simple servers do.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{anyhow, Context as _, Result};
use percent_encoding::percent_decode_str;
use tiny_http::{Header, Request, Response, Server, StatusCode};

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; files directly in it and below.
    pub root: PathBuf,
    /// Time that passes before each answer.
    pub latency: Duration,
    /// Requests that are answered at once.
    pub threads: usize,
    /// Whether `Range` is honoured; otherwise every answer is the whole file with 200.
    pub ranges: bool,
}

/// A server that runs until it is dropped.
pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    server: Server,
    options: Options,
    stopping: AtomicBool,
    requests: AtomicU64,
}

type Body = Response<Box<dyn io::Read + Send>>;

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
        let server = Server::from_listener(listener, None).map_err(|error| anyhow!(error))?;
        let shared = Arc::new(Shared {
            server,
            stopping: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            options,
        });
        let threads = (0..shared.options.threads.max(1))
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.answer_all())
            })
            .collect();
        Ok(Self {
            shared,
            address,
            threads,
        })
    }

    /// The URL of the directory.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests taken so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        for _ in &self.threads {
            self.shared.server.unblock();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn answer_all(&self) {
        while !self.stopping.load(Ordering::Relaxed) {
            let Ok(request) = self.server.recv() else {
                continue;
            };
            self.requests.fetch_add(1, Ordering::Relaxed);
            thread::sleep(self.options.latency);
            let response = self.answer(&request).unwrap_or_else(|error| {
                let status = match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => 404,
                    _ => 500,
                };
                Response::from_string(error.to_string())
                    .with_status_code(status)
                    .boxed()
            });
            // The client may be gone, which is its own affair.
            let _ = request.respond(response);
        }
    }

    fn answer(&self, request: &Request) -> io::Result<Body> {
        let path = percent_decode_str(request.url().trim_start_matches('/'));
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
        let asked = request
            .headers()
            .iter()
            .find(|header| header.field.equiv("Range") && self.options.ranges)
            .map(|header| range(header.value.as_str(), size));
        let (status, start, len, range) = match asked {
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
        let body = Response::new(
            StatusCode(status),
            Vec::new(),
            Box::new(file.take(len)) as Box<dyn io::Read + Send>,
            usize::try_from(len).ok(),
            None,
        )
        .with_chunked_threshold(usize::MAX);
        Ok(match range {
            None => body,
            Some(range) => body.with_header(
                Header::from_bytes("Content-Range", range).map_err(|()| io::ErrorKind::Other)?,
            ),
        })
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
