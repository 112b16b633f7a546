// SPDX-License-Identifier: GPL-2.0

//! Reads that wait without a task.

use crate::{
    completion::RequestObject,
    deferred::{defer, process, DeferredList, DeferredRead},
    double::{spawn, Buffer, Cache, Flaw, Object, FETCHED},
    interleave,
    run::Run,
};

const PAGE: Run = Run { first: 0, count: 1 };

/// The worker. Flaw: reads are counted after their first step.
fn work(object: &Object) {
    if !object.cache().has(Flaw::CountLate) {
        return process(object);
    }
    for mut read in object.take() {
        let count = crate::double::count(object);
        count.decrement();
        let waits = read.step();
        count.increment();
        if waits {
            object.push(read);
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
            }
        });
        let read = DeferredRead::new(mount, object.clone(), Buffer(PAGE));
        defer(&*object, read);
        let told = cache.receive().unwrap();
        cache.answer(&object, told, 1);
        worker.join().unwrap();
        assert_eq!(*object.started.lock().unwrap(), [FETCHED]);
        assert!(object.deferred_count().is_zero());
        cache.close();
        cache.check(1);
    });
}

#[test]
fn no_wake_up_of_a_deferred_read_is_lost() {
    a_deferred_read_ends(None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_look_at_the_list_is_caught() {
    a_deferred_read_ends(Some(Flaw::LookAtTheList));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_late_count_is_caught() {
    a_deferred_read_ends(Some(Flaw::CountLate));
}
