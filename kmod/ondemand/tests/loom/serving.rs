// SPDX-License-Identifier: GPL-2.0

//! Readers, a daemon, and its death.

use crate::{
    contents::Contents,
    double::{spawn, Cache, Flaw, Mount, ObjectRef, FETCHED},
    interleave,
    page::PAGE_SIZE,
    platform::{CacheOps, MountOps, ObjectOps},
    run::Run,
    submit::{Need, Submitted},
    sync::AtomicU64,
    Errno,
};

const PAGE: Run = Run { first: 0, count: 1 };

/// A read of the page. Flaw: without the test under the lock, which a record that was
/// copied before the lock was taken comes to.
fn read(mount: &Mount, object: &ObjectRef) -> Result<Vec<u8>, Errno> {
    let cache = object.cache();
    if !cache.has(Flaw::NoSecondTest) || object.has(PAGE) {
        return mount.read(object, PAGE);
    }
    let stale = Contents::new(PAGE_SIZE, vec![AtomicU64::new(0)]).unwrap();
    let mut rest = PAGE;
    let mut submitted = Submitted::new(mount.lane().clone(), Need::Task);
    let mut state = cache.lock();
    let target = state.submit_and_join(object, &stale, PAGE, &mut rest, &mut submitted);
    drop(state);
    cache.pollers.wake();
    let target = target.unwrap().unwrap();
    object.waiters.wait_until(|| target.has_ended());
    mount.read(object, PAGE)
}

/// Two readers and a daemon that serves until the device is closed.
fn two_readers_are_served(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mount, object) = Cache::with_open_object(flaw, 1);
        let daemon = spawn(&object, |object| object.cache().serve(object, 1));
        let both = (mount.clone(), object.clone());
        let reader = spawn(&both, |(mount, object)| read(mount, object));
        assert_eq!(read(&mount, &object), Ok(vec![FETCHED]));
        assert_eq!(reader.join().unwrap(), Ok(vec![FETCHED]));
        cache.close();
        daemon.join().unwrap();
        cache.check(1);
    });
}

/// A reader, a daemon that answers once, and the end of the session at any moment.
fn death_ends_all(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mount, object) = Cache::with_open_object(flaw, 1);
        let daemon = spawn(&object, |object| {
            if let Some(told) = object.cache().receive() {
                object.cache().answer(object, told, 1);
            }
        });
        let both = (mount, object.clone());
        let reader = spawn(&both, |(mount, object)| read(mount, object));
        cache.close();
        let read = reader.join().unwrap();
        assert!(read == Ok(vec![FETCHED]) || read == Err(Errno::EIO));
        daemon.join().unwrap();
        cache.check(1);
    });
}

/// A reader of two pages, of which the daemon writes the first without being asked.
///
/// The page can come after it was found missing with the lock held, and before a READ
/// is submitted for it: there is no request to join, and the second page is missing
/// still.
#[test]
fn a_page_that_comes_unasked_is_no_end_of_the_read() {
    interleave(|| {
        let (cache, mount, object) = Cache::with_open_object(None, 2);
        let daemon = spawn(&object, |object| {
            object.write(0);
            object.cache().serve(object, 2);
        });
        let run = Run { first: 0, count: 2 };
        assert_eq!(mount.read(&object, run), Ok(vec![FETCHED; 2]));
        cache.close();
        daemon.join().unwrap();
        cache.check(1);
    });
}

/// A read of a hard mount, without a session at first.
fn a_hard_read_waits_for_a_session(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mut mount, object) = Cache::with_open_object(flaw, 1);
        mount.hard = true;
        cache.close();
        let daemon = spawn(&object, |object| {
            let cache = object.cache();
            cache.lock().attach().unwrap();
            cache.bind();
            cache.serve(object, 1);
        });
        assert_eq!(read(&mount, &object), Ok(vec![FETCHED]));
        cache.close();
        daemon.join().unwrap();
        cache.check(1);
    });
}

#[test]
fn readers_are_served_once_and_see_what_was_written() {
    two_readers_are_served(None);
}

#[test]
fn death_leaves_neither_request_nor_sleeper() {
    death_ends_all(None);
}

#[test]
fn a_session_wakes_a_hard_read() {
    a_hard_read_waits_for_a_session(None);
}

#[test]
#[should_panic(expected = "a page that is present was requested")]
fn a_missing_second_test_is_caught() {
    two_readers_are_served(Some(Flaw::NoSecondTest));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_caught() {
    two_readers_are_served(Some(Flaw::WakeBeforeOutcome));
}

#[test]
#[should_panic(expected = "left: Err(Errno(5))")]
fn completion_before_presence_is_caught() {
    two_readers_are_served(Some(Flaw::CompleteBeforePresence));
}

#[test]
#[should_panic(expected = "left: Ok([0])")]
fn unpublished_bytes_are_caught() {
    two_readers_are_served(Some(Flaw::RelaxedPresence));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_request_after_death_is_caught() {
    death_ends_all(Some(Flaw::DieInTwoSteps));
}

#[test]
#[should_panic(expected = "each request is completed once")]
fn a_second_completion_is_caught() {
    death_ends_all(Some(Flaw::RemoveLate));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_before_the_session_is_caught() {
    a_hard_read_waits_for_a_session(Some(Flaw::WakeBeforeBind));
}
