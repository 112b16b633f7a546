// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Conversations of a session with a stand-in for the driver, on any kernel.

use std::fs;
use std::sync::mpsc::Sender;

use super::*;
use crate::backend::{BackendError, Local, Version};
use crate::protocol::PAGE;

mod driver;

use driver::{wait_until, Driver};

/// Size of the blob, no multiple of the page size.
const SIZE: u64 = 4 * PAGE + 77;
/// Size of its cache file.
const PADDED: u64 = 5 * PAGE;

/// A directory with the blobs `blob` and `other` of [`SIZE`] bytes, which are never zero.
fn blobs() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let content: Vec<u8> = (0..SIZE).map(|_| random.u8(1..)).collect();
    for name in ["blob", "other"] {
        fs::write(dir.path().join(name), &content).unwrap();
    }
    (dir, content)
}

/// The cache file of a blob of which only `range` is cached.
fn cached(content: &[u8], range: Range<u64>) -> Vec<u8> {
    let mut file = vec![0; PADDED as usize];
    let range = range.start as usize..range.end.min(SIZE) as usize;
    file[range.clone()].copy_from_slice(&content[range]);
    file
}

fn rules(rules: &[&str]) -> Options {
    Options {
        plan: Plan {
            seed: 0,
            rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        },
        ..Options::default()
    }
}

/// Stops a session when a conversation ends, also by a panic: the session's thread is joined then.
struct StopOnDrop(StopHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs a session during `conversation`, which must receive all of its answers. Returns its statistics.
fn converse<B: Backend>(
    driver: &Driver,
    backend: B,
    options: Options,
    conversation: impl FnOnce(&Session<B>),
) -> Statistics {
    let session = Session::new(driver.device(), backend, options).unwrap();
    thread::scope(|scope| {
        let stop = StopOnDrop(session.stop_handle().unwrap());
        let running = scope.spawn(|| session.run());
        conversation(&session);
        drop(stop);
        running.join().unwrap().unwrap();
    });
    assert!(!driver.has_answer(), "an answer too many");
    session.statistics()
}

/// A conversation without extensions, of which `blob` is open as object 1.
fn converse_about_blob(options: Options, conversation: impl FnOnce(&Driver, &[u8])) -> Statistics {
    let (dir, content) = blobs();
    let driver = Driver::new(Features::NONE);
    let local = Local::new(dir.path()).unwrap();
    converse(&driver, local, options, |_| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        conversation(&driver, &content);
    })
}

#[test]
fn an_open_is_answered_with_the_size() {
    let statistics = converse_about_blob(Options::default(), |driver, _| {
        assert!(!driver.is_closed("blob"));
    });
    assert_eq!((statistics.opens, statistics.refused_opens), (1, 0));
}

#[test]
fn an_open_of_an_absent_blob_is_refused_with_its_descriptor_closed() {
    let statistics = converse_about_blob(Options::default(), |driver, _| {
        driver.open(1, 2, "absent");
        assert_eq!(driver.answer(), "copen 1,-2");
        assert!(driver.is_closed("absent"));
    });
    assert_eq!((statistics.opens, statistics.refused_opens), (2, 1));
}

#[test]
fn a_read_is_written_and_then_completed() {
    let statistics = converse_about_blob(Options::default(), |driver, content| {
        driver.read(1, 1, "blob", PAGE..3 * PAGE);
        assert_eq!(driver.answer(), "complete 1 of blob");
        assert!(driver.contents_at(1) == cached(content, PAGE..3 * PAGE));
    });
    let written = (statistics.bytes_fetched, statistics.bytes_written);
    assert_eq!(written, (2 * PAGE, 2 * PAGE));
}

#[test]
fn a_read_of_the_last_page_is_padded_with_zeroes() {
    let statistics = converse_about_blob(Options::default(), |driver, content| {
        driver.read(1, 1, "blob", 4 * PAGE..5 * PAGE);
        assert_eq!(driver.answer(), "complete 1 of blob");
        assert!(driver.contents_at(1) == cached(content, 4 * PAGE..5 * PAGE));
    });
    let written = (statistics.bytes_fetched, statistics.bytes_written);
    assert_eq!(written, (SIZE - 4 * PAGE, PAGE));
    assert_eq!(statistics.failed_reads, 0);
}

#[test]
fn a_read_past_the_end_is_completed_and_counted() {
    let statistics = converse_about_blob(Options::default(), |driver, content| {
        driver.read(1, 1, "blob", 4 * PAGE..6 * PAGE);
        assert_eq!(driver.answer(), "complete 1 of blob");
        assert!(driver.contents_at(1) == cached(content, 4 * PAGE..5 * PAGE));
    });
    assert_eq!(statistics.failed_reads, 1);
}

#[test]
fn a_close_closes_the_descriptor_and_drops_later_reads() {
    let statistics = converse_about_blob(Options::default(), |driver, _| {
        driver.close(1, 1);
        driver.wait_closed("blob");
        driver.read(2, 1, "blob", 0..PAGE);
        driver.open(3, 2, "other");
        assert_eq!(driver.answer(), format!("copen 3,{SIZE}"));
    });
    assert_eq!((statistics.closes, statistics.reads), (1, 1));
}

#[test]
fn a_blob_that_is_gone_leaves_its_pages_missing() {
    let (dir, content) = blobs();
    for (features, answer) in [
        (Features::NONE, "complete 1 of blob"),
        (Features::READ_ERRORS, "fail with 2 1 of blob"),
    ] {
        fs::write(dir.path().join("blob"), &content).unwrap();
        let driver = Driver::new(features);
        let local = Local::new(dir.path()).unwrap();
        let statistics = converse(&driver, local, Options::default(), |_| {
            driver.open(0, 1, "blob");
            assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
            fs::remove_file(dir.path().join("blob")).unwrap();
            driver.read(1, 1, "blob", 0..PAGE);
            assert_eq!(driver.answer(), answer);
            assert!(driver.contents_at(1) == cached(&content, 0..0));
        });
        assert_eq!(statistics.failed_reads, 1);
        assert_eq!(driver.enabled(), features);
    }
}

#[test]
fn a_replaced_blob_leaves_its_pages_missing() {
    let (dir, content) = blobs();
    let driver = Driver::new(Features::READ_ERRORS);
    let local = Local::new(dir.path()).unwrap();
    converse(&driver, local, Options::default(), |_| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        driver.read(1, 1, "blob", 0..PAGE);
        assert_eq!(driver.answer(), "complete 1 of blob");
        // The other blob has the same size.
        fs::rename(dir.path().join("other"), dir.path().join("blob")).unwrap();
        driver.read(2, 1, "blob", PAGE..2 * PAGE);
        assert_eq!(driver.answer(), "fail with 116 2 of blob");
        assert!(driver.contents_at(2) == cached(&content, 0..PAGE));
    });
}

#[test]
fn a_blob_whose_bytes_of_another_version_are_in_use_is_refused() {
    let (dir, _) = blobs();
    let cache = tempfile::tempdir().unwrap();
    let options = || Options {
        records: Some(cache.path().to_owned()),
        ..Options::default()
    };
    // The stand-in has all of its objects in use, so that the first OPEN is refused as well.
    let open = |answer: &str| {
        let driver = Driver::new(Features::NONE);
        let local = Local::new(dir.path()).unwrap();
        converse(&driver, local, options(), |_| {
            driver.open(0, 1, "blob");
            assert_eq!(driver.answer(), answer);
            assert_eq!(driver.is_closed("blob"), answer == "copen 0,-116");
        });
    };
    open("copen 0,-116");
    let key = BlobKey {
        volume: b"erofs,test".to_vec(),
        cookie: b"blob".to_vec(),
    };
    let now = Local::new(dir.path()).unwrap().version(&key);
    let records = Records::new(cache.path());
    records
        .admit(&key, &now.unwrap().unwrap(), || false)
        .unwrap();
    open(&format!("copen 0,{SIZE}"));
    fs::rename(dir.path().join("other"), dir.path().join("blob")).unwrap();
    open("copen 0,-116");
}

#[test]
fn a_refused_size_closes_the_descriptor() {
    let (dir, _) = blobs();
    let driver = Driver::new(Features::NONE);
    let local = Local::new(dir.path()).unwrap();
    let session = Session::new(driver.device(), local, Options::default()).unwrap();
    let stop = session.stop_handle().unwrap();
    thread::scope(|scope| {
        let stop = StopOnDrop(stop);
        scope.spawn(|| session.run());
        driver.refuse_commands();
        driver.open(0, 1, "blob");
        driver.wait_closed("blob");
        drop(stop);
    });
    assert_eq!(session.statistics().failed_answers, 1);
}

#[test]
fn a_dead_cache_ends_the_session_and_closes_the_descriptors() {
    let (dir, _) = blobs();
    let driver = Driver::new(Features::NONE);
    let local = Local::new(dir.path()).unwrap();
    let session = Session::new(driver.device(), local, Options::default()).unwrap();
    let stop = session.stop_handle().unwrap();
    thread::scope(|scope| {
        let _stop = StopOnDrop(stop);
        let running = scope.spawn(|| session.run());
        driver.open(0, 1, "blob");
        driver.answer();
        driver.die();
        wait_until("the session has ended", || running.is_finished());
        let ended = running.join().unwrap();
        assert!(matches!(ended, Err(SessionError::Dead)), "{ended:?}");
    });
    assert!(driver.is_closed("blob"));
}

#[test]
fn an_open_blob_is_prefetched() {
    let (dir, content) = blobs();
    let driver = Driver::new(Features::NONE);
    let local = Local::new(dir.path()).unwrap();
    let options = Options {
        prefetch: true,
        ..Options::default()
    };
    let statistics = converse(&driver, local, options, |session| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        wait_until("the blob is cached", || {
            session.statistics().bytes_written == PADDED
        });
    });
    let file = fs::read(driver.cache_file("blob")).unwrap();
    assert!(file == cached(&content, 0..PADDED));
    assert_eq!((statistics.reads, statistics.bytes_fetched), (0, SIZE));
}

#[test]
fn a_range_of_an_open_blob_is_prefetched() {
    let (dir, _) = blobs();
    let driver = Driver::new(Features::NONE);
    let local = Local::new(dir.path()).unwrap();
    let key = |cookie: &[u8]| BlobKey {
        volume: b"erofs,test".to_vec(),
        cookie: cookie.to_vec(),
    };
    converse(&driver, local, Options::default(), |session| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        let written = session.prefetch(&key(b"blob"), PAGE..PAGE + 1);
        assert_eq!(written.unwrap(), PAGE);
        let error = session.prefetch(&key(b"other"), 0..PAGE).unwrap_err();
        assert!(matches!(error, FillError::NotOpen(_)), "{error}");
    });
}

/// A backend whose `blob` is busy until another blob was opened, or read, and always without one.
#[derive(Clone)]
struct Busy {
    local: Arc<Local>,
    opened: Arc<AtomicBool>,
    read: Arc<AtomicBool>,
    retry_after: Option<Duration>,
}

impl Busy {
    fn call<T>(
        &self,
        blob: &BlobKey,
        released: &AtomicBool,
        call: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let busy = BackendError::Status {
            url: "http://busy".to_owned(),
            status: 503,
            retry_after: self.retry_after,
        };
        match &blob.cookie[..] {
            b"blob" if !released.load(Ordering::SeqCst) => return Err(busy),
            b"blob" => (),
            _ => released.store(true, Ordering::SeqCst),
        }
        call()
    }
}

impl Backend for Busy {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        self.call(blob, &self.opened, || self.local.version(blob))
    }

    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        self.call(blob, &self.read, || {
            self.local.read(blob, version, offset, buffer)
        })
    }
}

/// Runs `conversation` with [`Busy`] and a single worker.
fn converse_with_busy(
    patience: Duration,
    retry_after: Option<Duration>,
    conversation: impl FnOnce(&Driver, &Busy, &Session<Busy>),
) -> Statistics {
    let (dir, _) = blobs();
    let driver = Driver::new(Features::READ_ERRORS);
    let busy = Busy {
        local: Arc::new(Local::new(dir.path()).unwrap()),
        opened: Arc::default(),
        read: Arc::default(),
        retry_after,
    };
    let options = Options {
        threads: 1,
        patience,
        ..Options::default()
    };
    converse(&driver, busy.clone(), options, |session| {
        conversation(&driver, &busy, session);
    })
}

#[test]
fn a_busy_blob_is_tried_again_and_holds_up_no_other() {
    let statistics = converse_with_busy(Duration::MAX, None, |driver, _, _| {
        driver.open(0, 1, "blob");
        driver.open(1, 2, "other");
        assert_eq!(driver.answer(), format!("copen 1,{SIZE}"));
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        driver.read(2, 1, "blob", 0..PAGE);
        driver.read(3, 2, "other", 0..PAGE);
        assert_eq!(driver.answer(), "complete 3 of other");
        assert_eq!(driver.answer(), "complete 2 of blob");
    });
    assert_eq!((statistics.refused_opens, statistics.failed_reads), (0, 0));
}

#[test]
fn a_blob_that_stays_busy_is_given_up() {
    // It would be answered only after the patience has ended.
    let hour = Some(Duration::from_secs(3600));
    converse_with_busy(Duration::from_secs(30), hour, |driver, busy, _| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), "copen 0,-5");
        busy.opened.store(true, Ordering::SeqCst);
        driver.open(1, 2, "blob");
        assert_eq!(driver.answer(), format!("copen 1,{SIZE}"));
        driver.read(2, 2, "blob", 0..PAGE);
        assert_eq!(driver.answer(), "fail with 5 2 of blob");
    });
}

#[test]
fn a_stopped_session_tries_what_waits_a_last_time() {
    let hour = Some(Duration::from_secs(3600));
    converse_with_busy(Duration::MAX, hour, |driver, busy, session| {
        busy.opened.store(true, Ordering::SeqCst);
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        driver.read(1, 1, "blob", 0..PAGE);
        wait_until("the READ waits", || session.postponed.len() == 1);
        session.stop_handle().unwrap().stop();
        assert_eq!(driver.answer(), "fail with 5 1 of blob");
    });
}

/// A backend whose reads at offset 0 wait for the test.
struct Gate {
    local: Local,
    entered: Mutex<Sender<()>>,
    released: Mutex<mpsc::Receiver<()>>,
}

impl Backend for Gate {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        self.local.version(blob)
    }

    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        if offset == 0 {
            self.entered.lock().unwrap().send(()).unwrap();
            // Fails if the test has panicked, and releases the reads as well.
            let _ = self.released.lock().unwrap().recv();
        }
        self.local.read(blob, version, offset, buffer)
    }
}

/// Runs `conversation` with a READ of message 1 in service, which it can release.
fn converse_at_gate(
    threads: usize,
    conversation: impl FnOnce(&Driver, &Session<Gate>, Sender<()>),
) -> Statistics {
    let (dir, _) = blobs();
    let driver = Driver::new(Features::NONE);
    let (entered, at_gate) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let gate = Gate {
        local: Local::new(dir.path()).unwrap(),
        entered: Mutex::new(entered),
        released: Mutex::new(released),
    };
    let options = Options {
        threads,
        ..Options::default()
    };
    converse(&driver, gate, options, |session| {
        driver.open(0, 1, "blob");
        assert_eq!(driver.answer(), format!("copen 0,{SIZE}"));
        driver.read(1, 1, "blob", 0..PAGE);
        at_gate.recv().unwrap();
        conversation(&driver, session, release);
    })
}

#[test]
fn a_read_does_not_wait_for_another() {
    converse_at_gate(2, |driver, _, release| {
        driver.read(2, 1, "blob", PAGE..2 * PAGE);
        assert_eq!(driver.answer(), "complete 2 of blob");
        release.send(()).unwrap();
        assert_eq!(driver.answer(), "complete 1 of blob");
    });
}

#[test]
fn a_descriptor_outlives_a_close_until_its_read_is_answered() {
    converse_at_gate(2, |driver, session, release| {
        driver.close(2, 1);
        wait_until("the CLOSE is received", || session.statistics().closes == 1);
        assert!(!driver.is_closed("blob"));
        release.send(()).unwrap();
        assert_eq!(driver.answer(), "complete 1 of blob");
        driver.wait_closed("blob");
    });
}

#[test]
fn a_stopped_session_answers_the_requests_it_has_received() {
    converse_at_gate(1, |driver, session, release| {
        driver.read(2, 1, "blob", PAGE..2 * PAGE);
        wait_until("the READ is received", || session.statistics().reads == 2);
        session.stop_handle().unwrap().stop();
        release.send(()).unwrap();
        assert_eq!(driver.answer(), "complete 1 of blob");
        assert_eq!(driver.answer(), "complete 2 of blob");
    });
}

#[test]
fn rules_spoil_the_answers_to_reads() {
    for (rule, end, answers) in [
        (
            "read:twice",
            2,
            &["complete 1 of blob", "complete 1 of blob: EINVAL"][..],
        ),
        (
            "read:wrong-id",
            2,
            &["complete 1073741825 of blob: EINVAL", "complete 1 of blob"],
        ),
        (
            "read:wrong-object",
            2,
            &["complete 1 of other: EINVAL", "complete 1 of blob"],
        ),
        ("read:short=4096", 1, &["complete 1 of blob"]),
        ("read:empty", 0, &["complete 1 of blob"]),
    ] {
        converse_about_blob(rules(&[rule]), |driver, content| {
            driver.open(2, 2, "other");
            driver.answer();
            driver.read(1, 1, "blob", 0..2 * PAGE);
            for answer in answers {
                assert_eq!(driver.answer(), *answer, "{rule}");
            }
            let expected = cached(content, 0..end * PAGE);
            assert!(driver.contents_at(1) == expected, "{rule}");
        });
    }
}

#[test]
fn rules_withhold_the_answers_to_reads() {
    for (rule, closed) in [("read:never", false), ("read:close-early", true)] {
        let statistics = converse_about_blob(rules(&[rule]), |driver, content| {
            driver.read(1, 1, "blob", 0..PAGE);
            if closed {
                driver.wait_closed("blob");
            }
            let file = || fs::read(driver.cache_file("blob")).unwrap();
            wait_until("the page is written", || file() == cached(content, 0..PAGE));
            assert_eq!(driver.is_closed("blob"), closed, "{rule}");
        });
        assert_eq!(statistics.bytes_written, PAGE, "{rule}");
    }
}

#[test]
fn rules_spoil_the_answers_to_opens() {
    for (rule, answer) in [
        ("open#2:refuse=5", "copen 1,-5".to_owned()),
        ("open#2:close-early", format!("copen 1,{SIZE}")),
    ] {
        converse_about_blob(rules(&[rule]), |driver, _| {
            driver.open(1, 2, "other");
            assert_eq!(driver.answer(), answer);
            assert!(driver.is_closed("other"), "{rule}");
        });
    }
}
