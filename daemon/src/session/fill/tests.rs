// SPDX-License-Identifier: Apache-2.0 OR MIT

//! On a real file, opened as the kernel opens a cache file.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::backend::Local;
use crate::protocol::ObjectId;

/// Not whole pages, and more than a piece.
const SIZE: u64 = (PIECE as u64 + 3) * PAGE + 77;
const PADDED: u64 = (PIECE as u64 + 4) * PAGE;

struct World {
    dir: tempfile::TempDir,
    content: Vec<u8>,
    local: Local,
    counters: Counters,
    entry: Entry,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let content: Vec<u8> = (0..SIZE).map(|_| random.u8(1..)).collect();
        fs::write(dir.path().join("blob"), &content).unwrap();
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT;
        let cache = rustix::fs::open(dir.path().join("cache"), flags, Mode::RUSR).unwrap();
        rustix::fs::ftruncate(&cache, PADDED).unwrap();
        Self {
            local: Local::new(dir.path()).unwrap(),
            content,
            counters: Counters::default(),
            entry: Entry {
                id: ObjectId(1),
                object: cache.into(),
                blob: Blob {
                    volume: b"v".to_vec(),
                    cookie: b"blob".to_vec(),
                },
                size: OnceLock::from(SIZE),
            },
            dir,
        }
    }

    fn fill(&self, range: Range<u64>) -> u64 {
        let mut filler = Filler::new(&self.local, &self.counters);
        filler
            .fill(&self.entry, range, &Behaviour::default())
            .unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The cache has the blob's bytes in `ranges`, zeroes to the end of the last page, and nothing else.
    fn has(&self, ranges: &[(u64, u64)]) {
        let cache = fs::read(self.path()).unwrap();
        let mut want = vec![0; PADDED as usize];
        for (start, end) in ranges {
            let range = *start as usize..*end.min(&SIZE) as usize;
            want[range.clone()].copy_from_slice(&self.content[range]);
        }
        assert!(cache == want);
    }
}

#[test]
fn a_whole_blob_with_its_last_page_padded() {
    let world = World::new();
    assert_eq!(world.fill(0..u64::MAX), PADDED);
    world.has(&[(0, SIZE)]);
    let numbers = world.counters.read();
    assert_eq!(
        (numbers.bytes_fetched, numbers.bytes_written),
        (SIZE, PADDED)
    );
    assert_eq!(world.entry.object.seek_hole(0).unwrap(), Some(PADDED));
}

#[test]
fn only_what_is_missing() {
    let world = World::new();
    assert_eq!(world.fill(2 * PAGE..3 * PAGE), PAGE);
    assert_eq!(world.fill(5 * PAGE..6 * PAGE), PAGE);
    world.has(&[(2 * PAGE, 3 * PAGE), (5 * PAGE, 6 * PAGE)]);
    assert_eq!(world.fill(PAGE..8 * PAGE), 5 * PAGE);
    world.has(&[(PAGE, 8 * PAGE)]);
    assert_eq!(world.fill(PAGE..8 * PAGE), 0);
}

#[test]
fn ranges_become_whole_pages_of_the_blob() {
    let world = World::new();
    assert_eq!(world.fill(PAGE + 1..PAGE + 2), PAGE);
    assert_eq!(world.fill(SIZE - 1..SIZE), PAGE);
    assert_eq!(world.fill(PADDED..PADDED + PAGE), 0);
    assert_eq!(world.fill(PADDED - PAGE..PADDED + 9 * PAGE), 0);
    assert_eq!(world.fill(3 * PAGE..3 * PAGE), 0);
    world.has(&[(PAGE, 2 * PAGE), (PADDED - PAGE, PADDED)]);
    assert_eq!(fs::metadata(world.path()).unwrap().len(), PADDED);
}

#[test]
fn a_stopped_filler_lets_go() {
    let world = World::new();
    let stop = AtomicBool::new(true);
    let mut filler = Filler::new(&world.local, &world.counters).until(&stop);
    let written = filler.fill(&world.entry, 0..SIZE, &Behaviour::default());
    assert_eq!(written.unwrap(), 0);
}

#[test]
fn a_blob_that_is_gone() {
    let world = World::new();
    fs::remove_file(world.dir.path().join("blob")).unwrap();
    let mut filler = Filler::new(&world.local, &world.counters);
    let error = filler
        .fill(&world.entry, 0..PAGE, &Behaviour::default())
        .unwrap_err();
    assert!(error.to_string().contains("blob: No such file"));
    assert_eq!(error.of_backend(), Some(Errno::NOENT));
    world.has(&[]);
}

#[test]
fn a_cache_that_refuses() {
    let mut world = World::new();
    let read_only = rustix::fs::open(world.path(), OFlags::RDONLY, Mode::empty()).unwrap();
    world.entry.object = read_only.into();
    let mut filler = Filler::new(&world.local, &world.counters);
    let error = filler
        .fill(&world.entry, PAGE..2 * PAGE, &Behaviour::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "writing to the cache at 4096: Bad file descriptor (os error 9)"
    );
    assert_eq!(error.of_backend(), None);
}

#[test]
fn an_object_without_a_size_is_not_open() {
    let mut world = World::new();
    world.entry.size = OnceLock::new();
    let mut filler = Filler::new(&world.local, &world.counters);
    let error = filler.fill(&world.entry, 0..PAGE, &Behaviour::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "the blob blob of v is not open"
    );
}
