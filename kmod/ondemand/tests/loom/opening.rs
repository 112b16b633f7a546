// SPDX-License-Identifier: GPL-2.0

//! Reads before the size of the object is known.

use crate::{
    double::{spawn, Cache, Flaw, FETCHED},
    interleave,
    platform::CacheOps,
    run::Run,
    submit,
};

const PAGE: Run = Run { first: 0, count: 1 };

/// A prefetch and a read of an object that no daemon knows.
fn a_read_opens_the_object(flaw: Option<Flaw>) {
    interleave(move || {
        let (cache, mount, object) = Cache::with_object(flaw, 2);
        cache.lock().attach().unwrap();
        cache.bind();
        let daemon = spawn(&object, |object| object.cache().serve(object, 2));
        submit::prefetch::<Cache>(&mount, &object, Run { first: 1, count: 1 });
        assert_eq!(mount.read(&object, PAGE), Ok(vec![FETCHED]));
        // The prefetch was kept until the size was known.
        assert_eq!(cache.counts().submitted, 2);
        cache.close();
        daemon.join().unwrap();
        cache.check(2);
    });
}

#[test]
fn the_size_is_known_when_the_open_has_ended() {
    a_read_opens_the_object(None);
}

#[test]
#[should_panic(expected = "left: Err(Errno(5))")]
fn completion_before_the_size_is_caught() {
    a_read_opens_the_object(Some(Flaw::CompleteBeforeSize));
}
