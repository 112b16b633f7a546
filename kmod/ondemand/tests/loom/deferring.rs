// SPDX-License-Identifier: GPL-2.0

//! Reads that wait without a task.

use crate::{
    completion::RequestObject,
    deferred::{defer, process, DeferredRead, HasDeferred, List},
    double::{spawn, Buffer, Cache, Flaw, Object, FETCHED},
    interleave,
    run::Run,
    suspend, Errno,
};

const PAGE: Run = Run { first: 0, count: 1 };

/// The worker. Flaws: it does not look at the request after it has put the read back,
/// or does so before.
fn work(object: &Object) {
    let before = object.cache().has(Flaw::LookBeforePush);
    if !before && !object.cache().has(Flaw::NoLookAfterPush) {
        return process(object);
    }
    while let Some((memory, mut read)) = object.with_deferred(List::take) {
        if let Some(wait_for) = read.step() {
            let over = before && read.read().is_woken(read.mount());
            object.with_deferred(|list| {
                list.push(memory, wait_for, read);
                over && list.release(wait_for)
            });
        }
    }
}

/// A deferred read, its worker, and a daemon that answers once.
fn a_deferred_read_ends(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mount, object) = Cache::with_open_object(flaw, 1);
        let worker = spawn(&object, |object| {
            while object.started.lock().unwrap().is_empty() {
                object.work.take();
                work(object);
                assert_eq!(*object.failed.lock().unwrap(), []);
            }
        });
        let read = DeferredRead::new(mount, object.clone(), Buffer(PAGE, object.clone()));
        defer(&*object, read.ok().unwrap());
        let told = cache.receive().unwrap();
        cache.answer(&object, told, 1);
        worker.join().unwrap();
        assert_eq!(*object.started.lock().unwrap(), [FETCHED]);
        assert!(object.deferred_count().is_zero());
        cache.close();
        cache.check(1);
    });
}

/// A deferred read and its worker, while the system suspends and the daemon is frozen.
fn a_deferred_read_fails(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mount, object) = Cache::with_open_object(flaw, 1);
        let worker = spawn(&object, |object| {
            while object.failed.lock().unwrap().is_empty() {
                object.work.take();
                work(object);
            }
        });
        let read = DeferredRead::new(mount, object.clone(), Buffer(PAGE, object.clone()));
        defer(&*object, read.ok().unwrap());
        suspend::begin(&*cache);
        worker.join().unwrap();
        assert_eq!(*object.failed.lock().unwrap(), [Errno::EAGAIN]);
        assert!(object.deferred_count().is_zero());
        cache.close();
    });
}

#[test]
fn no_folio_waits_while_the_system_suspends() {
    a_deferred_read_fails(None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_worker_that_does_not_look_at_suspend_is_caught() {
    a_deferred_read_fails(Some(Flaw::NoLookAfterPush));
}

#[test]
fn no_wake_up_of_a_deferred_read_is_lost() {
    a_deferred_read_ends(None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_worker_that_looks_at_nothing_is_caught() {
    a_deferred_read_ends(Some(Flaw::NoLookAfterPush));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_look_before_the_read_is_back_is_caught() {
    a_deferred_read_ends(Some(Flaw::LookBeforePush));
}
