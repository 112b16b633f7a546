// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The backends on real files and real sockets: what they give, and what they say of bad servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ondine_origin::{Options, Origin};
use ondined::backend::{Backend, Blob, Http, HttpOptions, Local};
use rustix::io::Errno;

const NAME: &str = "a blob+1%.erofs";

fn blob(cookie: &str) -> Blob {
    Blob {
        volume: b"erofs,test".to_vec(),
        cookie: cookie.into(),
    }
}

fn bytes(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.u8(..)).collect()
}

fn directory() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let content = bytes(300_001);
    std::fs::write(dir.path().join(NAME), &content).unwrap();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    (dir, content)
}

fn origin(root: &Path, latency: Duration, ranges: bool) -> Origin {
    let options = Options {
        root: root.to_owned(),
        latency,
        ranges,
    };
    Origin::listen("127.0.0.1:0", options).unwrap()
}

fn client(url: &str) -> Http {
    let options = HttpOptions {
        tries: 3,
        rest: Duration::from_millis(1),
        timeout: Duration::from_secs(2),
        connections: 4,
    };
    Http::new(url, options).unwrap()
}

/// A server that gives one answer after another, each on its own connection.
fn scripted(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

fn holds_the_directory(backend: &dyn Backend, content: &[u8]) {
    assert_eq!(backend.size(&blob(NAME)).unwrap(), Some(300_001));
    assert_eq!(backend.size(&blob("empty")).unwrap(), Some(0));
    assert_eq!(backend.size(&blob("missing")).unwrap(), None);
    for (offset, len) in [(0, 1), (0, 300_001), (4096, 8192), (299_008, 993)] {
        let mut buffer = vec![0; len];
        backend
            .read(&blob(NAME), offset as u64, &mut buffer)
            .unwrap();
        assert!(buffer == content[offset..offset + len], "{len} at {offset}");
    }
    for name in ["..", ".", ""] {
        assert!(backend.size(&blob(name)).is_err(), "{name:?}");
    }
    let past = backend.read(&blob(NAME), 299_008, &mut [0; 994]);
    assert!(past.is_err());
}

#[test]
fn a_directory() {
    let (dir, content) = directory();
    let local = Local::new(dir.path()).unwrap();
    holds_the_directory(&local, &content);
    assert!(local.size(&blob("../x")).is_err());
    assert!(Local::new(&dir.path().join(NAME)).is_err());
}

#[test]
fn a_server() {
    let (dir, content) = directory();
    let origin = origin(dir.path(), Duration::ZERO, true);
    holds_the_directory(&client(&origin.url()), &content);
    // A slash at the end is the same base; a path into nowhere is not.
    let slash = client(&format!("{}/", origin.url()));
    assert_eq!(slash.size(&blob(NAME)).unwrap(), Some(300_001));
    let nowhere = client(&format!("{}/no", origin.url()));
    assert_eq!(nowhere.size(&blob(NAME)).unwrap(), None);
    let error = nowhere.read(&blob("x"), 0, &mut [0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/no/x: the server answers 404, not found", origin.url())
    );
    assert_eq!(error.errno(), Errno::NOENT);
}

#[test]
fn latency_is_not_multiplied_by_threads() {
    let (dir, _) = directory();
    let latency = Duration::from_millis(100);
    let origin = origin(dir.path(), latency, true);
    let client = client(&origin.url());
    let start = Instant::now();
    thread::scope(|scope| {
        for n in 0..4 {
            let client = &client;
            scope.spawn(move || client.read(&blob(NAME), n * 4096, &mut [0; 4096]).unwrap());
        }
    });
    let took = start.elapsed();
    assert!(took >= latency && took < latency * 3, "{took:?}");
    assert_eq!(origin.requests(), 4);
    let most = origin.flight().iter().map(|change| change.in_flight).max();
    assert_eq!(most, Some(4));
}

#[test]
fn a_server_without_ranges_is_refused() {
    let (dir, _) = directory();
    let origin = origin(dir.path(), Duration::ZERO, false);
    let client = client(&origin.url());
    let url = origin.url();
    let want = format!(
        "{url}/a%20blob%2B1%25.erofs: asked for a range, the server answers 200 with the whole \
         file; use a server with range requests"
    );
    assert_eq!(client.size(&blob(NAME)).unwrap_err().to_string(), want);
    let error = client.read(&blob(NAME), 0, &mut [0; 8]).unwrap_err();
    assert_eq!(error.to_string(), want);
    assert_eq!(origin.requests(), 2, "nothing is tried again");
}

#[test]
fn another_range_is_refused() {
    let url = scripted(&[
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 4-7/99\r\n\r\nabcd",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\nabcd",
    ]);
    let client = client(&url);
    let ask = || client.read(&blob("x"), 0, &mut [0; 4]).unwrap_err();
    assert_eq!(
        ask().to_string(),
        format!(
            "{url}/x: asked for bytes 0-3, the server answers with Content-Range \"bytes 4-7/99\""
        )
    );
    assert!(ask().to_string().ends_with("Content-Range \"\""));
}

#[test]
fn a_longer_body_is_refused() {
    let url = scripted(&[
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-3/99\r\n\r\nabcde",
    ]);
    let error = client(&url).read(&blob("x"), 0, &mut [0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{url}/x: the body has more bytes than the 4 bytes that were asked for")
    );
}

#[test]
fn what_can_pass_is_tried_again() {
    const FULL: &str = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n\
                        Content-Length: 4\r\nContent-Range: bytes 0-3/4\r\n\r\nabcd";
    let url = scripted(&[
        "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        // The body ends early.
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/4\r\n\r\nab",
        FULL,
    ]);
    let mut buffer = [0; 4];
    client(&url).read(&blob("x"), 0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcd");
}

#[test]
fn tries_have_a_limit() {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let url = scripted(Box::leak(vec![busy; 3].into_boxed_slice()));
    let error = client(&url).size(&blob("x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{url}/x: the server answers 503 (given up after 3 tries)")
    );
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&url).size(&blob("x")).unwrap_err();
    assert_eq!(error.errno(), Errno::CONNREFUSED);
    let error = error.to_string();
    assert!(
        error.contains(&url) && error.ends_with("(given up after 3 tries)"),
        "{error}"
    );
}

#[test]
fn what_readers_are_told() {
    let errno_of = |status: &str| {
        let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let url = scripted(Box::leak(vec![&*answer.leak(); 3].into_boxed_slice()));
        let error = client(&url).read(&blob("x"), 0, &mut [0; 4]).unwrap_err();
        error.errno()
    };
    assert_eq!(errno_of("403 Forbidden"), Errno::ACCESS);
    assert_eq!(errno_of("404 Not Found"), Errno::NOENT);
    assert_eq!(errno_of("503 Busy"), Errno::IO);
    // Nobody accepts, and the timeout of a try passes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let options = HttpOptions {
        tries: 1,
        timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    let slow = Http::new(&url, options).unwrap();
    let error = slow.read(&blob("x"), 0, &mut [0; 4]).unwrap_err();
    assert_eq!(error.errno(), Errno::TIMEDOUT);
}

#[test]
fn what_is_no_url() {
    for base in ["", "host", "ftp://host/", "/dir"] {
        let error = Http::new(base, HttpOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{base:?} is not a URL like http://host/directory")
        );
    }
}
