// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Events that end a wait (docs/spec/cachefiles-ondemand.md section 6.3).

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Dialect, Event, EventOutcome, MessageId, Mount, Options, Reply, Value,
};

use super::play::{Play, A, B, BLOB, BOTH, FD, FIRST, MOUNT};

const LIMITED: Options = Options {
    wait_for_session: false,
    time_limit: true,
};

#[test]
fn a_mount_that_waits_for_open_can_be_killed_in_ondine_only() {
    for dialect in BOTH {
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        play.apply(Event::Kill(A));
        if dialect == Dialect::Linux612 {
            assert_eq!(play.end(A), None);
            continue;
        }
        assert_eq!(play.end(A), Some(Err(Errno::EINTR)));
        assert_eq!(
            play.completed(FIRST),
            Some(Err(Errno::EIO)),
            "its object was dropped"
        );
        assert_eq!(play.receive(), None);
    }
}

#[test]
fn a_killed_mount_leaves_the_open_to_the_other_mount_that_wants_it() {
    let mut play = Play::bound(Dialect::Ondine);
    play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
    play.apply(Event::Mount(B, Mount(1), BLOB, Options::default()));
    play.apply(Event::Kill(A));
    play.receive();
    play.copen(FIRST, 4096);
    assert_eq!(play.end(B), Some(Ok(())));
}

#[test]
fn a_mount_killed_after_its_open_was_read_leaves_a_descriptor_that_can_be_closed() {
    let mut play = Play::bound(Dialect::Ondine);
    play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
    play.receive();
    play.apply(Event::Kill(A));
    let late = Event::Copen(Some(FIRST), Reply::Size(4096));
    assert_eq!(play.call(late), Err(Errno::EINVAL));
    assert_eq!(play.call(Event::CloseDescriptor(FD)), Ok(Value::Done));
}

#[test]
fn a_time_limit_ends_waits_of_mounts_that_have_one() {
    let mut play = Play::bound(Dialect::Ondine);
    play.apply(Event::Mount(A, MOUNT, BLOB, LIMITED));
    play.apply(Event::Expire(A));
    assert_eq!(play.end(A), Some(Err(Errno::ETIMEDOUT)));

    let mut play = Play::mounted_with(Dialect::Ondine, LIMITED);
    play.read(A, 1, 1);
    play.apply(Event::Expire(A));
    assert_eq!(play.end(A), Some(Err(Errno::ETIMEDOUT)));
    assert_eq!(play.receive(), None, "nobody waits for the READ");

    play.read(A, 0, 1);
    assert!(play.receive().is_some());
    play.apply(Event::Expire(A));
    assert_eq!(play.end(A), Some(Err(Errno::ETIMEDOUT)));
    play.read(A, 0, 1);
    assert_eq!(play.receive(), None, "the READ stays once delivered");
    play.write(FD, 0, 1);
    play.apply(Event::Expire(A));
    assert_eq!(play.end(A), Some(Ok(())), "the page has come in time");

    for (dialect, options) in [
        (Dialect::Linux612, LIMITED),
        (Dialect::Ondine, Options::default()),
    ] {
        let mut play = Play::mounted_with(dialect, options);
        play.read(A, 0, 1);
        assert_eq!(play.apply(Event::Expire(A)), [EventOutcome::Ignored]);
    }
}

#[test]
fn a_signal_to_a_woken_reader_prevents_its_next_wait() {
    for present in [1, 2] {
        let mut play = Play::mounted(Dialect::Ondine);
        play.read(A, 0, 2);
        play.receive();
        play.write(FD, 0, present);
        assert_eq!(
            play.kernel.apply(Event::Complete(FD, MessageId(1))).len(),
            3
        );
        play.kernel.apply(Event::Kill(A));
        play.apply(Event::Resume(A));
        let end = if present == 2 {
            Ok(())
        } else {
            Err(Errno::EIO)
        };
        assert_eq!(play.end(A), Some(end));
    }
}

#[test]
fn unmount_is_busy_while_a_task_waits_and_force_ends_it_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        assert_eq!(play.call(Event::Unmount(MOUNT)), Err(Errno::EBUSY));
        let forced = play.call(Event::ForceUnmount(MOUNT));
        if dialect == Dialect::Linux612 {
            assert_eq!((forced, play.end(A)), (Err(Errno::EBUSY), None));
            continue;
        }
        assert_eq!(
            (forced, play.end(A)),
            (Ok(Value::Done), Some(Err(Errno::EIO)))
        );
        assert_eq!(
            play.completed(MessageId(1)),
            Some(Err(Errno::EIO)),
            "dropped"
        );
    }
}
