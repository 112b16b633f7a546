// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Concurrent requests and the latency of the server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ondine_origin::{Options, Origin};

/// Size of a file that the buffers of a connection cannot hold.
const LARGE: u64 = 1 << 30;
/// Time after which a missing response fails the test.
const STUCK: Duration = Duration::from_secs(20);

fn origin(root: &Path, latency: Duration) -> Origin {
    let options = Options {
        root: root.to_owned(),
        latency,
        ranges: true,
    };
    Origin::listen("127.0.0.1:0", options).unwrap()
}

/// Sends a request for `name` and reads the first byte of the response.
fn request(origin: &Origin, name: &str) -> TcpStream {
    let address = origin.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    write!(stream, "GET /{name} HTTP/1.1\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

#[test]
fn a_response_does_not_wait_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let large = File::create(dir.path().join("large")).unwrap();
    large.set_len(LARGE).unwrap();
    std::fs::write(dir.path().join("small"), b"x").unwrap();
    let origin = origin(dir.path(), Duration::ZERO);
    // The bodies of these are not read, so that their requests stay in flight.
    let unread: Vec<_> = (0..3).map(|_| request(&origin, "large")).collect();
    let mut fourth = request(&origin, "small");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nx") {
        let mut byte = [0];
        fourth.read_exact(&mut byte).unwrap();
        response.extend(byte);
    }
    assert_eq!(origin.requests(), 4);
    let most = origin.flight().iter().map(|entry| entry.in_flight).max();
    assert_eq!(most, Some(4));
    drop(unread);
}

#[test]
fn a_response_is_delayed_by_the_latency() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("small"), b"x").unwrap();
    let latency = Duration::from_millis(20);
    let origin = origin(dir.path(), latency);
    let start = Instant::now();
    request(&origin, "small");
    assert!(start.elapsed() >= latency);
}
