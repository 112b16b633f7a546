// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The descriptor, copen and READ_COMPLETE (docs/spec/cachefiles-ondemand.md sections 4 and 5).

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Dialect, Event, EventOutcome, Message, MessageId, ObjectId, ObjectState, Options, Pages,
    Reply, Value,
};

use super::play::{Play, A, B, BLOB, BOTH, FD, FIRST, MOUNT};

type Returned = Result<Value, Errno>;

/// A mount whose OPEN was delivered.
fn asked(dialect: Dialect) -> Play {
    let mut play = Play::bound(dialect);
    play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
    assert_eq!(play.receive(), Some(Message::Open(FIRST, FD, BLOB)));
    play
}

#[test]
fn each_row_of_copen() {
    let rows: [(Reply, Returned, Result<(), Errno>); 5] = [
        (Reply::Size(16384), Ok(Value::Done), Ok(())),
        (
            Reply::Error(Errno::ENOENT),
            Ok(Value::Done),
            Err(Errno::ENOENT),
        ),
        (Reply::BelowErrnos, Err(Errno::EINVAL), Err(Errno::EINVAL)),
        (Reply::NotANumber, Err(Errno::EINVAL), Err(Errno::EINVAL)),
        (Reply::OutOfRange, Err(Errno::ERANGE), Err(Errno::ERANGE)),
    ];
    for dialect in BOTH {
        for (reply, returned, waiter) in rows {
            let mut play = asked(dialect);
            assert_eq!(
                play.call(Event::Copen(Some(FIRST), reply)),
                returned,
                "{reply:?}"
            );
            assert_eq!(play.completed(FIRST), Some(waiter), "{reply:?}");
            let mount = waiter.map_err(|_| Errno::ENOBUFS);
            assert_eq!(
                play.end(A),
                Some(mount),
                "{reply:?}: mount(2) knows one errno"
            );
        }
    }
}

#[test]
fn copen_with_a_size_wakes_pollers() {
    for dialect in BOTH {
        let out = asked(dialect).apply(Event::Copen(Some(FIRST), Reply::Size(0)));
        assert!(out.contains(&EventOutcome::PollersWoken));
    }
}

#[test]
fn copen_after_the_descriptor_was_closed_is_ok_and_fails_the_open() {
    for dialect in BOTH {
        let mut play = asked(dialect);
        play.apply(Event::CloseDescriptor(FD));
        assert_eq!(play.end(A), None, "closing alone does not end it");
        play.copen(FIRST, 16384);
        assert_eq!(play.completed(FIRST), Some(Err(Errno::EBADFD)));
        assert_eq!(play.end(A), Some(Err(Errno::ENOBUFS)));
    }
}

#[test]
fn an_open_whose_descriptor_is_lost_is_delivered_again_in_ondine_only() {
    for dialect in BOTH {
        let mut play = asked(dialect);
        let out = play.apply(Event::CloseDescriptor(FD));
        let linux = dialect == Dialect::Linux612;
        assert_eq!(out.contains(&EventOutcome::PollersWoken), !linux);
        assert_eq!(play.poll().readable, !linux);
        if linux {
            assert_eq!(play.receive(), None);
            play.apply(Event::Restore);
        }
        let again = Message::Open(FIRST, ObjectId(2), BLOB);
        assert_eq!(play.receive(), Some(again));
        play.copen(FIRST, 16384);
        assert_eq!(play.end(A), Some(Ok(())));
    }
}

#[test]
fn copen_of_anything_but_a_delivered_open_changes_nothing() {
    for dialect in BOTH {
        let size = Reply::Size(16384);
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        let never_read = Event::Copen(Some(FIRST), size);
        assert_eq!(play.call(never_read), Err(Errno::EINVAL));
        assert_eq!(play.call(Event::Copen(None, size)), Err(Errno::EINVAL));
        assert_eq!(
            play.call(Event::Copen(Some(MessageId(9)), size)),
            Err(Errno::EINVAL)
        );
        assert_eq!(play.end(A), None);

        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        play.receive();
        assert_eq!(
            play.call(Event::Copen(Some(MessageId(1)), size)),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            play.call(Event::Copen(Some(FIRST), size)),
            Err(Errno::EINVAL),
            "answered"
        );
        assert_eq!(play.end(A), None);
    }
}

#[test]
fn a_refused_open_leaves_a_descriptor_with_nothing_behind_it() {
    for dialect in BOTH {
        let mut play = asked(dialect);
        play.apply(Event::Copen(Some(FIRST), Reply::Error(Errno::ENOENT)));
        assert_eq!(
            play.call(Event::Write(FD, Pages::new(0, 1))),
            Err(Errno::ENOBUFS)
        );
        assert_eq!(play.call(Event::Complete(FD, FIRST)), Err(Errno::EINVAL));
        assert_eq!(play.call(Event::CloseDescriptor(FD)), Ok(Value::Done));
    }
}

#[test]
fn nothing_is_written_before_the_size_is_known() {
    for dialect in BOTH {
        let write = Event::Write(FD, Pages::new(0, 1));
        assert_eq!(asked(dialect).call(write), Err(Errno::ENOBUFS));
    }
}

#[test]
fn a_cache_file_of_another_size_is_discarded_at_open() {
    for dialect in BOTH {
        for (size, present) in [(16384, 1), (4096, 0)] {
            let mut play = Play::mounted(dialect);
            play.write(FD, 0, 1);
            play.apply(Event::Unmount(MOUNT));
            play.apply(Event::CloseDescriptor(FD));
            play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
            play.receive();
            play.copen(MessageId(2), size);
            assert_eq!(play.kernel.state().files[&BLOB].present.len(), present);
        }
    }
}

#[test]
fn a_read_goes_on_when_its_first_page_is_there_and_fails_when_it_is_not() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 2);
        play.receive();
        play.write(FD, 0, 1);
        assert_eq!(play.end(A), None, "written is not completed");
        play.complete(FD, MessageId(1));
        assert_eq!(play.end(A), None, "it asks for the rest");
        let rest = Message::Read(MessageId(2), FD, Pages::new(1, 1));
        assert_eq!(play.receive(), Some(rest));
        play.complete(FD, MessageId(2));
        assert_eq!(play.end(A), Some(Err(Errno::EIO)), "still a hole");
    }
}

#[test]
fn present_pages_are_read_without_the_daemon() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.write(FD, 0, 4);
        play.read(A, 1, 3);
        assert_eq!(play.end(A), Some(Ok(())));
        assert_eq!(play.receive(), None);
    }
}

#[test]
fn a_read_may_reach_beyond_the_size_in_c_only() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 3, 2);
        let ondine = dialect == Dialect::Ondine;
        assert_eq!(play.end(A), ondine.then_some(Err(Errno::EIO)));
        let read = Message::Read(MessageId(1), FD, Pages::new(3, 2));
        assert_eq!(play.receive(), (!ondine).then_some(read));
    }
}

#[test]
fn another_size_of_an_object_in_use_is_a_refusal_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        play.read(A, 0, 1);
        if dialect == Dialect::Linux612 {
            assert_eq!(play.receive(), None, "it starts the OPEN");
        }
        assert!(matches!(play.receive(), Some(Message::Open(..))));
        let linux = dialect == Dialect::Linux612;
        let opened = if linux { Ok(()) } else { Err(Errno::EINVAL) };
        let reply = Event::Copen(Some(MessageId(2)), Reply::Size(4096));
        assert_eq!(play.call(reply), opened.map(|()| Value::Done));
        assert_eq!(play.completed(MessageId(2)), Some(opened));
        assert_eq!(play.end(A), (!linux).then_some(Err(Errno::EIO)));
    }
}

#[test]
fn a_size_that_comes_too_late_makes_the_cache_file_fit_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.write(FD, 0, 1);
        play.apply(Event::Unmount(MOUNT));
        play.apply(Event::CloseDescriptor(FD));
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        assert!(matches!(play.receive(), Some(Message::Open(..))));
        play.apply(Event::CloseDescriptor(ObjectId(2)));
        play.copen(MessageId(2), 4096);
        assert_eq!(play.completed(MessageId(2)), Some(Err(Errno::EBADFD)));
        let kept = if dialect == Dialect::Ondine { 0 } else { 1 };
        assert_eq!(play.kernel.state().files[&BLOB].present.len(), kept);
    }
}

#[test]
fn a_completion_needs_the_right_request_of_the_right_object() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::Mount(B, MOUNT, Blob(1), Options::default()));
        assert_eq!(
            play.receive(),
            Some(Message::Open(MessageId(1), ObjectId(2), Blob(1)))
        );
        let open = Event::Complete(ObjectId(2), MessageId(1));
        assert_eq!(play.call(open), Err(Errno::EINVAL), "an OPEN");
        play.copen(MessageId(1), 4096);
        play.read(A, 0, 1);
        play.receive();
        let other = Event::Complete(ObjectId(2), MessageId(2));
        assert_eq!(play.call(other), Err(Errno::EINVAL), "another object's");
        assert_eq!(
            play.call(Event::Complete(FD, MessageId(7))),
            Err(Errno::EINVAL)
        );
        play.write(FD, 0, 1);
        play.complete(FD, MessageId(2));
        assert_eq!(play.end(A), Some(Ok(())));
        assert_eq!(
            play.call(Event::Complete(FD, MessageId(2))),
            Err(Errno::EINVAL),
            "twice"
        );
    }
}

#[test]
fn a_refused_reopen_fails_its_reads_in_ondine_and_keeps_them_waiting_in_c() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        play.read(A, 0, 1);
        let linux = dialect == Dialect::Linux612;
        let mut open = play.receive();
        if linux {
            open = play.receive();
        }
        assert_eq!(open, Some(Message::Open(MessageId(2), ObjectId(2), BLOB)));
        play.apply(Event::Copen(
            Some(MessageId(2)),
            Reply::Error(Errno::ENOENT),
        ));
        let refused = (!linux).then_some(Err(Errno::EIO));
        assert_eq!(play.end(A), refused);
        assert_eq!(
            play.kernel.state().objects[&BLOB].state,
            ObjectState::Reopening
        );
        play.read(B, 0, 1);
        assert_eq!(
            play.receive(),
            None,
            "no second descriptor beside the one that is open"
        );
        play.apply(Event::CloseDescriptor(ObjectId(2)));
        let opens = [play.receive(), play.receive()];
        let again = |message: &Option<Message>| {
            matches!(message, Some(Message::Open(_, ObjectId(3), BLOB)))
        };
        assert!(opens.iter().any(again), "the READ tries again: {opens:?}");
        assert_eq!([play.end(A), play.end(B)], [refused, None]);
    }
}

#[test]
fn an_undelivered_message_cannot_be_answered_in_ondine() {
    for dialect in BOTH {
        let linux = dialect == Dialect::Linux612;
        let answered = if linux {
            Ok(Value::Done)
        } else {
            Err(Errno::EINVAL)
        };
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        let read = Event::Complete(FD, MessageId(1));
        assert_eq!(play.call(read), answered, "READ");

        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        play.read(A, 0, 1);
        if linux {
            assert_eq!(play.receive(), None, "it starts the OPEN");
        }
        let open = Event::Copen(Some(MessageId(2)), Reply::Size(16384));
        assert_eq!(play.call(open), answered, "a further OPEN");
    }
}

#[test]
fn error_replies_are_ondines_once_asked_for() {
    let errno = Event::CompleteWithError(FD, MessageId(1), Errno::ENODATA);
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        play.receive();
        assert_eq!(play.call(errno), Err(Errno::EINVAL), "not asked for");
        let extensions = play.call(Event::EnableExtensions);
        if dialect == Dialect::Linux612 {
            assert_eq!(extensions, Err(Errno::EOPNOTSUPP));
            continue;
        }
        let success = Event::CompleteWithError(FD, MessageId(1), Errno(0));
        assert_eq!(play.call(success), Err(Errno::EINVAL), "0 is no errno");
        assert_eq!(play.call(errno), Ok(Value::Done));
        assert_eq!(play.end(A), Some(Err(Errno::ENODATA)));
    }
}
