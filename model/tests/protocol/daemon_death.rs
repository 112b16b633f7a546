// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `restore`, and the ways to lose the daemon (docs/spec/cachefiles-ondemand.md sections 6.4 and
//! 6.5).

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Dialect, Event, EventOutcome, Message, MessageId, Mount, ObjectId, Options, Pages,
};

use super::play::{Play, A, B, BLOB, BOTH, FD, FIRST, MOUNT};

const WAITS: Options = Options {
    wait_for_session: true,
    time_limit: false,
};

/// Page 0 is present; a reader waits for page 1.
fn reading(dialect: Dialect, options: Options) -> Play {
    let mut play = Play::mounted_with(dialect, options);
    play.write(FD, 0, 1);
    play.read(A, 1, 1);
    play
}

#[test]
fn device_closed_without_descriptors_withdraws_the_cache_in_c_and_detaches_it_in_ondine() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.apply(Event::CloseDescriptor(FD));
        let out = play.apply(Event::CloseDevice);
        assert!(out.contains(&EventOutcome::PollersWoken));
        assert_eq!(play.end(A), Some(Err(Errno::EIO)), "pending requests: EIO");
        let linux = dialect == Dialect::Linux612;
        play.read(A, 0, 1);
        let present = if linux { Err(Errno::ENOBUFS) } else { Ok(()) };
        assert_eq!(play.end(A), Some(present));
        play.read(A, 1, 1);
        let missing = if linux { Errno::ENOBUFS } else { Errno::EIO };
        assert_eq!(play.end(A), Some(Err(missing)));
        play.apply(Event::Mount(B, Mount(1), Blob(1), WAITS));
        assert_eq!(play.end(B), Some(Err(Errno::ENOBUFS)), "new mounts");
    }
}

#[test]
fn a_reader_gets_pages_written_before_the_daemon_died_in_ondine_only() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.write(FD, 1, 1);
        play.apply(Event::CloseDescriptor(FD));
        play.apply(Event::CloseDevice);
        let linux = dialect == Dialect::Linux612;
        let due = if linux { Err(Errno::EIO) } else { Ok(()) };
        assert_eq!(play.end(A), Some(due));
    }
}

#[test]
fn old_mounts_recover_with_a_new_session_in_ondine_only() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.apply(Event::CloseDevice);
        play.apply(Event::CloseDescriptor(FD));
        play.bind();
        play.read(A, 1, 1);
        if dialect == Dialect::Linux612 {
            assert_eq!(play.end(A), Some(Err(Errno::ENOBUFS)), "remount needed");
            continue;
        }
        assert_eq!(play.receive(), Some(Message::Open(MessageId(1), FD, BLOB)));
        play.copen(MessageId(1), 16384);
        assert_eq!(
            play.receive(),
            Some(Message::Read(FIRST, FD, Pages::new(1, 1)))
        );
        play.write(FD, 1, 1);
        play.complete(FD, FIRST);
        assert_eq!(play.end(A), Some(Ok(())));
    }
}

#[test]
fn a_reader_of_a_waiting_mount_outlives_its_daemon() {
    let mut play = reading(Dialect::Ondine, WAITS);
    play.apply(Event::CloseDevice);
    play.apply(Event::CloseDescriptor(FD));
    play.read(B, 0, 2);
    assert_eq!([play.end(A), play.end(B)], [None, None]);
    play.bind();
    assert_eq!(play.receive(), Some(Message::Open(MessageId(1), FD, BLOB)));
    play.copen(MessageId(1), 16384);
    assert!(play.receive().is_some());
    play.write(FD, 1, 1);
    play.complete(FD, FIRST);
    assert_eq!([play.end(A), play.end(B)], [Some(Ok(())), Some(Ok(()))]);

    let mut play = reading(Dialect::Ondine, WAITS);
    play.apply(Event::CloseDevice);
    play.apply(Event::Kill(A));
    assert_eq!(
        play.end(A),
        Some(Err(Errno::EIO)),
        "this wait is killable too"
    );
}

#[test]
fn device_closed_while_descriptors_are_open_serves_present_pages() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.apply(Event::CloseDevice);
        assert_eq!(play.end(A), Some(Err(Errno::EIO)));
        play.read(A, 0, 1);
        assert_eq!(play.end(A), Some(Ok(())));
        play.read(A, 1, 1);
        assert_eq!(play.end(A), Some(Err(Errno::EIO)));
        play.write(FD, 1, 1);
        play.read(A, 1, 1);
        assert_eq!(play.end(A), Some(Ok(())), "its descriptor still writes");
    }
}

#[test]
fn a_failed_cache_serves_nothing_in_c_and_present_pages_in_ondine() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.apply(Event::CacheFails);
        assert_eq!(play.end(A), Some(Err(Errno::EIO)));
        let linux = dialect == Dialect::Linux612;
        play.read(A, 0, 1);
        assert_eq!(
            play.end(A),
            Some(if linux { Err(Errno::ENOBUFS) } else { Ok(()) })
        );
        play.read(A, 1, 1);
        assert_eq!(
            play.end(A),
            Some(Err(if linux { Errno::ENOBUFS } else { Errno::EIO }))
        );
    }
}

#[test]
fn a_mount_whose_open_dies_gets_enobufs_unless_it_is_a_hard_mount_of_ondine() {
    for dialect in BOTH {
        for (options, hard) in [(Options::default(), false), (WAITS, true)] {
            for delivered in [false, true] {
                let mut play = Play::bound(dialect);
                play.apply(Event::Mount(A, MOUNT, BLOB, options));
                if delivered {
                    play.receive();
                }
                play.apply(Event::CloseDevice);
                let waits = hard && dialect == Dialect::Ondine;
                assert_eq!(play.end(A), (!waits).then_some(Err(Errno::ENOBUFS)));
                assert_eq!(play.completed(FIRST), Some(Err(Errno::EIO)));
            }
        }
    }
}

#[test]
fn a_successor_with_the_same_device_restores_in_c_and_need_not_in_ondine() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        play.receive();
        play.apply(Event::CloseDescriptor(FD));
        play.read(B, 0, 1);
        assert_eq!(play.end(B), Some(Ok(())), "served");
        if dialect == Dialect::Linux612 {
            assert_eq!(play.receive(), None, "delivered requests are not new");
            let out = play.apply(Event::Restore);
            assert!(out.contains(&EventOutcome::PollersWoken));
        }
        let messages = [play.receive(), play.receive()];
        let open = Message::Open(MessageId(2), ObjectId(2), BLOB);
        assert!(messages.contains(&Some(open)), "{messages:?}");
        play.copen(MessageId(2), 16384);
        let read = Message::Read(MessageId(1), ObjectId(2), Pages::new(1, 1));
        assert_eq!(play.receive(), Some(read));
        play.write(ObjectId(2), 1, 1);
        play.complete(ObjectId(2), MessageId(1));
        assert_eq!(play.end(A), Some(Ok(())));
    }
}

#[test]
fn restore_while_the_daemon_lives_delivers_reads_twice() {
    for dialect in BOTH {
        let mut play = reading(dialect, Options::default());
        let first = play.receive();
        play.apply(Event::Restore);
        assert_eq!(play.receive(), first);
        play.complete(FD, MessageId(1));
        let second = play.call(Event::Complete(FD, MessageId(1)));
        assert_eq!(second, Err(Errno::EINVAL));
    }
}
