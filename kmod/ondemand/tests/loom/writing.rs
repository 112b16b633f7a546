// SPDX-License-Identifier: GPL-2.0

//! A write into a cache file, and the object's end.

use crate::{interleave, wait_queue::WaitQueue, writers::Writers};
use loom::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};
use std::sync::Arc;

struct File {
    writers: Writers,
    /// Writes that have reached the file. Relaxed: the writers alone order the accesses.
    written: AtomicUsize,
    waiters: WaitQueue,
}

/// The daemon writes twice while the object is dropped. The next object of the file must
/// see all writes that will ever come. Flaw: it does not wait for them.
fn no_write_comes_after_the_next_object(waits: bool) {
    interleave(move || {
        let file = Arc::new(File {
            writers: Writers::new(),
            written: AtomicUsize::new(0),
            waiters: WaitQueue::new(),
        });
        let daemon = file.clone();
        let daemon = thread::spawn(move || {
            for _ in 0..2 {
                if daemon.writers.begin() {
                    let before = daemon.written.load(Relaxed);
                    daemon.written.store(before + 1, Relaxed);
                }
                if daemon.writers.end() {
                    daemon.waiters.wake();
                }
            }
        });
        if !file.writers.drop_object() && waits {
            file.waiters.wait_until(|| file.writers.are_gone());
        }
        let seen = file.written.load(Relaxed);
        daemon.join().unwrap();
        let all = file.written.load(Relaxed);
        assert_eq!(seen, all, "a write came after the file was taken over");
    });
}

#[test]
fn no_write_outlives_its_object() {
    no_write_comes_after_the_next_object(true);
}

#[test]
#[should_panic(expected = "a write came after")]
fn a_write_that_is_not_waited_for_is_caught() {
    no_write_comes_after_the_next_object(false);
}
