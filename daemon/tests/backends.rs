// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The backends on files and sockets: the bytes they read, and their errors for faulty servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, SystemTime};

use ondine_origin::{Options, Origin};
use ondined::backend::{
    Backend, BackendError, BlobKey, Http, HttpOptions, Local, Passing, Version,
};
use rustix::io::Errno;

/// Name of a blob with characters that a URL must escape.
const NAME: &str = "a blob+1%.erofs";
/// A response with the bytes 0 to 3, after which the server closes the connection.
const FOUR_BYTES: &str = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n\
                          Content-Length: 4\r\nContent-Range: bytes 0-3/4\r\n\r\nabcd";

fn blob(cookie: &str) -> BlobKey {
    BlobKey {
        volume: b"erofs,test".to_vec(),
        cookie: cookie.into(),
    }
}

/// Size of a blob.
fn size(backend: &dyn Backend, name: &str) -> Result<Option<u64>, BackendError> {
    let version = backend.version(&blob(name))?;
    Ok(version.map(|version| version.size))
}

/// A version of a server without ETag and Last-Modified.
fn untagged(url: &str, size: u64) -> Version {
    Version {
        size,
        identity: format!("without ETag and Last-Modified at {url}/x"),
    }
}

/// Reads from the blob `x` of 4 bytes at a server without ETag and Last-Modified.
fn read_x(url: &str, buffer: &mut [u8]) -> Result<(), BackendError> {
    client(url).read(&blob("x"), &untagged(url, 4), 0, buffer)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.u8(..)).collect()
}

/// A directory with a blob called [`NAME`] and an empty one, and the bytes of the first.
fn directory() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let content = bytes(300_001);
    std::fs::write(dir.path().join(NAME), &content).unwrap();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    (dir, content)
}

fn origin(root: &Path, ranges: bool) -> Origin {
    let options = Options {
        root: root.to_owned(),
        latency: Duration::ZERO,
        ranges,
    };
    Origin::listen("127.0.0.1:0", options).unwrap()
}

fn client(url: &str) -> Http {
    let options = HttpOptions {
        timeout: Duration::from_secs(2),
        connections: 4,
    };
    Http::new(url, options).unwrap()
}

/// A server that sends each of `answers` once, in order, each on a connection of its own.
fn scripted(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

/// Reads a request up to its empty line.
fn read_head(stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
}

/// Asserts that `backend` serves the blobs of [`directory`].
fn assert_serves_directory(backend: &dyn Backend, content: &[u8]) {
    let version = backend.version(&blob(NAME)).unwrap().unwrap();
    assert_eq!(version.size, 300_001);
    assert_eq!(size(backend, "empty").unwrap(), Some(0));
    assert_eq!(size(backend, "missing").unwrap(), None);
    for (offset, len) in [(0, 1), (0, 300_001), (4096, 8192), (299_008, 993)] {
        let mut buffer = vec![0; len];
        backend
            .read(&blob(NAME), &version, offset as u64, &mut buffer)
            .unwrap();
        assert!(buffer == content[offset..offset + len], "{len} at {offset}");
    }
    for name in ["..", ".", ""] {
        assert!(size(backend, name).is_err(), "{name:?}");
    }
    let past = backend.read(&blob(NAME), &version, 299_008, &mut [0; 994]);
    assert!(past.is_err());
}

#[test]
fn a_directory_is_served() {
    let (dir, content) = directory();
    let local = Local::new(dir.path()).unwrap();
    assert_serves_directory(&local, &content);
    assert!(size(&local, "../x").is_err());
    assert!(Local::new(&dir.path().join(NAME)).is_err());
}

#[test]
fn a_server_is_read() {
    let (dir, content) = directory();
    let origin = origin(dir.path(), true);
    assert_serves_directory(&client(&origin.url()), &content);
    // A trailing slash makes no difference, a directory that does not exist does.
    let slash = client(&format!("{}/", origin.url()));
    assert_eq!(size(&slash, NAME).unwrap(), Some(300_001));
    let nowhere = client(&format!("{}/no", origin.url()));
    assert_eq!(size(&nowhere, NAME).unwrap(), None);
    let error = read_x(&format!("{}/no", origin.url()), &mut [0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/no/x: the server answers 404, not found", origin.url())
    );
    assert_eq!(error.errno(), Errno::NOENT);
}

/// A server that answers only once `count` requests are in flight: it holds each back at a barrier.
fn barrier_server(count: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let barrier = Arc::new(Barrier::new(count));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, barrier) = (stream.unwrap(), Arc::clone(&barrier));
            thread::spawn(move || {
                read_head(&stream);
                barrier.wait();
                stream.write_all(FOUR_BYTES.as_bytes()).unwrap();
            });
        }
    });
    url
}

#[test]
fn reads_of_several_threads_are_in_flight_at_once() {
    // Reads one after the other leave the first at the barrier, until it times out.
    let options = HttpOptions::default();
    let url = barrier_server(4);
    let client = Http::new(&url, options).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut buffer = [0; 4];
                client
                    .read(&blob("x"), &untagged(&url, 4), 0, &mut buffer)
                    .unwrap();
                assert_eq!(&buffer, b"abcd");
            });
        }
    });
}

#[test]
fn a_server_without_ranges_is_refused() {
    let (dir, _) = directory();
    let origin = origin(dir.path(), false);
    let client = client(&origin.url());
    let url = origin.url();
    let want = format!(
        "{url}/a%20blob%2B1%25.erofs: the server answers a range request with 200 and the whole \
         file; use a server that supports range requests"
    );
    assert_eq!(size(&client, NAME).unwrap_err().to_string(), want);
    let error = client
        .read(&blob(NAME), &untagged(&url, 9), 0, &mut [0; 8])
        .unwrap_err();
    assert_eq!(error.to_string(), want);
    assert_eq!(origin.requests(), 2);
}

#[test]
fn another_range_is_refused() {
    let url = scripted(&[
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 4-7/4\r\n\r\nabcd",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\nabcd",
    ]);
    let error = || read_x(&url, &mut [0; 4]).unwrap_err();
    assert_eq!(
        error().to_string(),
        format!(
            "{url}/x: requested bytes 0-3, but the server answers with Content-Range \"bytes 4-7/4\""
        )
    );
    assert!(error().to_string().ends_with("Content-Range \"\""));
}

#[test]
fn a_longer_body_is_refused() {
    let url = scripted(&[
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-3/4\r\n\r\nabcde",
    ]);
    let error = read_x(&url, &mut [0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{url}/x: the body is longer than the 4 requested bytes")
    );
}

/// Answer to the question whether a read that got `answer` is to be repeated, and when.
fn passing(answer: &str) -> Option<Passing> {
    let url = scripted(Box::leak(Box::new([&*answer.to_owned().leak()])));
    read_x(&url, &mut [0; 4]).unwrap_err().passing()
}

fn status(status: &str, header: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n{header}\r\n")
}

#[test]
fn answers_that_pass_by_themselves_are_told_from_final_ones() {
    let now = Some(Passing::Later(Duration::ZERO));
    for busy in ["503 Busy", "500 Error", "429 Too Many", "408 Timeout"] {
        assert_eq!(passing(&status(busy, "")), now, "{busy}");
    }
    for last in ["401 No", "403 No", "404 No", "410 Gone"] {
        assert_eq!(passing(&status(last, "")), None, "{last}");
    }
    let range = |range: &str, body: &str| {
        passing(&format!(
            "HTTP/1.1 206 Part\r\nConnection: close\r\nContent-Length: 4\r\n{range}\r\n{body}"
        ))
    };
    // The body ends early.
    assert_eq!(range("Content-Range: bytes 0-3/4\r\n", "ab"), now);
    let perhaps = Some(Passing::Perhaps);
    assert_eq!(range("Content-Range: bytes 4-7/4\r\n", "abcd"), perhaps);
    assert_eq!(range("", "abcd"), perhaps);
    assert_eq!(passing(&status("200 Whole", "")), perhaps);
    // Another version is final.
    assert_eq!(range("Content-Range: bytes 0-3/5\r\n", "abcd"), None);
}

#[test]
fn a_server_says_when_it_wants_to_be_asked_again() {
    let later = |header: &str| match passing(&status("429 Too Many", header)) {
        Some(Passing::Later(pause)) => pause.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(later("Retry-After: 17\r\n"), 17);
    let date = SystemTime::now() + Duration::from_secs(1000);
    let date = httpdate::fmt_http_date(date);
    let pause = later(&format!("Retry-After: {date}\r\n"));
    assert!((900..=1000).contains(&pause), "{pause}");
    assert_eq!(later("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), 0);
    assert_eq!(later("Retry-After: soon\r\n"), 0);
}

#[test]
fn a_refused_connection_is_an_error_that_may_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = size(&client(&url), "x").unwrap_err();
    assert_eq!(error.errno(), Errno::CONNREFUSED);
    assert!(error.to_string().contains(&url), "{error}");
    assert_eq!(error.passing(), Some(Passing::Later(Duration::ZERO)));
}

#[test]
fn errors_map_to_errnos_for_readers() {
    let errno_of = |status: &str| {
        let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let url = scripted(Box::leak(vec![&*answer.leak()].into_boxed_slice()));
        let error = read_x(&url, &mut [0; 4]).unwrap_err();
        error.errno()
    };
    assert_eq!(errno_of("403 Forbidden"), Errno::ACCESS);
    assert_eq!(errno_of("404 Not Found"), Errno::NOENT);
    assert_eq!(errno_of("503 Busy"), Errno::IO);
    // The connection is never accepted, so the time limit of the attempt expires.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let options = HttpOptions {
        timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    let slow = Http::new(&url, options).unwrap();
    let error = slow
        .read(&blob("x"), &untagged(&url, 4), 0, &mut [0; 4])
        .unwrap_err();
    assert_eq!(error.errno(), Errno::TIMEDOUT);
}

#[test]
fn no_errno_makes_a_reader_repeat_its_call() {
    let errno_of = |errno: Errno| {
        let (path, error) = ("x".into(), errno.into());
        BackendError::File { path, error }.errno()
    };
    assert_eq!(errno_of(Errno::AGAIN), Errno::IO);
    assert_eq!(errno_of(Errno::INTR), Errno::IO);
    assert_eq!(errno_of(Errno::STALE), Errno::STALE);
}

#[test]
fn a_base_that_is_no_http_url_is_refused() {
    for base in ["", "host", "ftp://host/", "/dir"] {
        let error = Http::new(base, HttpOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{base:?} is not a URL such as http://host/directory")
        );
    }
}

/// Asserts that a read of the version that a blob had is refused as long as another one is in its place.
fn assert_refuses_replaced(backend: &dyn Backend, path: &Path) {
    let kept = path.with_extension("kept");
    let opened = backend.version(&blob(NAME)).unwrap().unwrap();
    let read = |offset| backend.read(&blob(NAME), &opened, offset, &mut [0; 4096]);
    read(0).unwrap();
    for len in [300_001, 8192, 400_000] {
        std::fs::rename(path, &kept).unwrap();
        std::fs::write(path, bytes(len)).unwrap();
        // The second offset is past the end of the shorter replacement.
        for offset in [4096, 200_000] {
            let error = read(offset).unwrap_err();
            assert_eq!(error.errno(), Errno::STALE, "{error}");
            let text = error.to_string();
            let (was, is) = (opened.to_string(), format!("to {len} bytes"));
            assert!(text.contains(&was) && text.contains(&is), "{text}");
        }
        std::fs::rename(&kept, path).unwrap();
        read(4096).unwrap();
    }
}

#[test]
fn a_replaced_blob_is_refused() {
    let (dir, _) = directory();
    let path = dir.path().join(NAME);
    let origin = origin(dir.path(), true);
    assert_refuses_replaced(&Local::new(dir.path()).unwrap(), &path);
    assert_refuses_replaced(&client(&origin.url()), &path);
}

#[test]
fn a_file_that_is_written_to_is_refused() {
    let (dir, content) = directory();
    let local = Local::new(dir.path()).unwrap();
    let opened = local.version(&blob(NAME)).unwrap().unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join(NAME));
    let later = std::time::SystemTime::now() + Duration::from_secs(1);
    let file = file.unwrap();
    (&file).write_all(&content[..1]).unwrap();
    file.set_modified(later).unwrap();
    let error = local
        .read(&blob(NAME), &opened, 0, &mut [0; 8])
        .unwrap_err();
    assert_eq!(error.errno(), Errno::STALE);
}

#[test]
fn the_time_of_the_last_change_identifies_a_blob_without_a_tag() {
    let answer = |headers: &str| -> &'static str {
        format!(
            "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: 1\r\n\
             Content-Range: bytes 0-0/4\r\n{headers}\r\na"
        )
        .leak()
    };
    let day = "Last-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n";
    let url = scripted(Box::leak(Box::new([
        answer(day),
        answer(day),
        answer("Last-Modified: Wed, 02 Dec 2026 00:00:00 GMT\r\n"),
        answer("ETag: \"x\"\r\nLast-Modified: Wed, 02 Dec 2026 00:00:00 GMT\r\n"),
    ])));
    let client = client(&url);
    let opened = client.version(&blob("x")).unwrap().unwrap();
    assert_eq!(
        opened.to_string(),
        "4 bytes, Last-Modified Tue, 01 Dec 2026 00:00:00 GMT"
    );
    let read = || client.read(&blob("x"), &opened, 0, &mut [0]);
    read().unwrap();
    assert!(matches!(read(), Err(BackendError::Changed { .. })));
    let tagged = client.version(&blob("x")).unwrap().unwrap();
    assert_eq!(tagged.identity, "ETag \"x\"");
}

#[test]
fn redirects_are_followed() {
    let target = scripted(&[FOUR_BYTES]);
    let redirect = |status: &str, to: &str| -> &'static str {
        format!(
            "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: 4\r\nLocation: {to}\r\n\r\naway"
        )
        .leak()
    };
    let url = scripted(Box::leak(Box::new([
        redirect("302", "/elsewhere/x"),
        redirect("307", "y"),
        redirect("301", &format!("{target}/x?signature=1")),
    ])));
    let mut buffer = [0; 4];
    read_x(&url, &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcd");
    // Neither are endless redirects, nor those to something that is not HTTP.
    let url = scripted(Box::leak(
        vec![redirect("302", "/x"); 11].into_boxed_slice(),
    ));
    let error = read_x(&url, &mut buffer).unwrap_err();
    assert!(matches!(error, BackendError::Transport { .. }), "{error}");
    let url = scripted(Box::leak(Box::new([redirect("302", "ftp://host/x")])));
    let error = read_x(&url, &mut buffer).unwrap_err();
    assert!(
        matches!(error, BackendError::Status { status: 302, .. }),
        "{error}"
    );
}
