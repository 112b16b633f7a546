// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The filler on a regular file, opened with O_DIRECT as the kernel opens a cache file.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::backend::Local;
use crate::protocol::ObjectId;

/// Size of the blob: more than one run, and no multiple of the page size.
const SIZE: u64 = (MAX_RUN as u64 + 3) * PAGE + 77;
/// Size of the cache file.
const PADDED: u64 = (MAX_RUN as u64 + 4) * PAGE;

/// A blob in a directory, and an empty cache file for it.
struct Fixture {
    dir: tempfile::TempDir,
    content: Vec<u8>,
    local: Local,
    counters: Counters,
    open: OpenObject,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let content: Vec<u8> = (0..SIZE).map(|_| random.u8(1..)).collect();
        fs::write(dir.path().join("blob"), &content).unwrap();
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT;
        let cache = rustix::fs::open(dir.path().join("cache"), flags, Mode::RUSR).unwrap();
        rustix::fs::ftruncate(&cache, PADDED).unwrap();
        let blob = BlobKey {
            volume: b"v".to_vec(),
            cookie: b"blob".to_vec(),
        };
        let local = Local::new(dir.path()).unwrap();
        let version = local.version(&blob).unwrap().unwrap();
        Self {
            local,
            content,
            counters: Counters::default(),
            open: OpenObject {
                id: ObjectId(1),
                object: cache.into(),
                blob,
                version: OnceLock::from(version),
            },
            dir,
        }
    }

    /// Fills `range` and returns the number of bytes written.
    fn fill(&self, range: Range<u64>) -> u64 {
        let mut filler = Filler::new(&self.local, &self.counters);
        filler.fill(&self.open, range, &Actions::default()).unwrap()
    }

    /// Path of the cache file.
    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Asserts that the cache file holds the blob's bytes in `ranges`, and zeroes elsewhere.
    fn assert_cached(&self, ranges: &[(u64, u64)]) {
        let cache = fs::read(self.path()).unwrap();
        let mut expected = vec![0; PADDED as usize];
        for (start, end) in ranges {
            let range = *start as usize..*end.min(&SIZE) as usize;
            expected[range.clone()].copy_from_slice(&self.content[range]);
        }
        assert!(cache == expected, "the cache file differs from {ranges:?}");
    }
}

#[test]
fn a_whole_blob_is_filled_and_its_last_page_padded() {
    let fixture = Fixture::new();
    assert_eq!(fixture.fill(0..u64::MAX), PADDED);
    fixture.assert_cached(&[(0, SIZE)]);
    let statistics = fixture.counters.read();
    assert_eq!(
        (statistics.bytes_fetched, statistics.bytes_written),
        (SIZE, PADDED)
    );
    assert_eq!(fixture.open.object.seek_hole(0).unwrap(), Some(PADDED));
}

#[test]
fn only_missing_pages_are_written() {
    let fixture = Fixture::new();
    assert_eq!(fixture.fill(2 * PAGE..3 * PAGE), PAGE);
    assert_eq!(fixture.fill(5 * PAGE..6 * PAGE), PAGE);
    fixture.assert_cached(&[(2 * PAGE, 3 * PAGE), (5 * PAGE, 6 * PAGE)]);
    assert_eq!(fixture.fill(PAGE..8 * PAGE), 5 * PAGE);
    fixture.assert_cached(&[(PAGE, 8 * PAGE)]);
    assert_eq!(fixture.fill(PAGE..8 * PAGE), 0);
}

#[test]
fn ranges_are_rounded_to_pages_of_the_blob() {
    let fixture = Fixture::new();
    assert_eq!(fixture.fill(PAGE + 1..PAGE + 2), PAGE);
    assert_eq!(fixture.fill(SIZE - 1..SIZE), PAGE);
    assert_eq!(fixture.fill(PADDED..PADDED + PAGE), 0);
    assert_eq!(fixture.fill(PADDED - PAGE..PADDED + 9 * PAGE), 0);
    assert_eq!(fixture.fill(3 * PAGE..3 * PAGE), 0);
    fixture.assert_cached(&[(PAGE, 2 * PAGE), (PADDED - PAGE, PADDED)]);
    assert_eq!(fs::metadata(fixture.path()).unwrap().len(), PADDED);
}

#[test]
fn a_stopped_filler_writes_nothing_more() {
    let fixture = Fixture::new();
    let stop = AtomicBool::new(true);
    let mut filler = Filler::new(&fixture.local, &fixture.counters).until(&stop);
    let written = filler.fill(&fixture.open, 0..SIZE, &Actions::default());
    assert_eq!(written.unwrap(), 0);
}

#[test]
fn a_missing_blob_is_an_error_for_readers() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.dir.path().join("blob")).unwrap();
    let mut filler = Filler::new(&fixture.local, &fixture.counters);
    let error = filler
        .fill(&fixture.open, 0..PAGE, &Actions::default())
        .unwrap_err();
    assert!(error.to_string().contains("blob: No such file"));
    assert_eq!(error.reader_errno(), Some(Errno::NOENT));
    fixture.assert_cached(&[]);
}

#[test]
fn a_failed_write_is_no_error_for_readers() {
    let mut fixture = Fixture::new();
    let read_only = rustix::fs::open(fixture.path(), OFlags::RDONLY, Mode::empty()).unwrap();
    fixture.open.object = read_only.into();
    let mut filler = Filler::new(&fixture.local, &fixture.counters);
    let error = filler
        .fill(&fixture.open, PAGE..2 * PAGE, &Actions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "writing to the cache file at offset 4096: Bad file descriptor (os error 9)"
    );
    assert_eq!(error.reader_errno(), None);
}

#[test]
fn an_object_without_a_version_is_not_filled() {
    let mut fixture = Fixture::new();
    fixture.open.version = OnceLock::new();
    let mut filler = Filler::new(&fixture.local, &fixture.counters);
    let error = filler.fill(&fixture.open, 0..PAGE, &Actions::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "the blob blob of v is not open"
    );
}
