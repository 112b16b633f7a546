// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device, its messages, and poll (docs/spec/cachefiles-ondemand.md sections 1 to 3).

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Dialect, Event, EventOutcome, Kernel, Message, MessageId, Mount, ObjectId, Options,
    Pages, Readiness, Reply, Trouble, Value, Waiter,
};

use super::play::{Play, A, B, BLOB, BOTH, FD, FIRST, MOUNT};

#[test]
fn a_second_open_is_busy_until_the_last_pin_goes() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        assert_eq!(play.call(Event::OpenDevice), Err(Errno::EBUSY));
        play.apply(Event::CloseDevice);
        assert_eq!(
            play.call(Event::OpenDevice),
            Err(Errno::EBUSY),
            "FD is open"
        );
        play.apply(Event::CloseDescriptor(FD));
        play.bind();
    }
}

#[test]
fn before_bind_nothing_is_read_and_no_command_of_the_mode_works() {
    for dialect in BOTH {
        let mut play = Play::closed(dialect);
        play.apply(Event::OpenDevice);
        assert_eq!(play.receive(), None);
        let copen = Event::Copen(Some(FIRST), Reply::Size(0));
        assert_eq!(play.call(copen), Err(Errno::EOPNOTSUPP));
        assert_eq!(play.call(Event::Restore), Err(Errno::EOPNOTSUPP));
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        assert_eq!(
            play.end(A),
            Some(Err(Errno::ENOBUFS)),
            "no cache bound at mount"
        );
    }
}

#[test]
fn bind_twice_is_busy() {
    for dialect in BOTH {
        assert_eq!(Play::bound(dialect).call(Event::Bind), Err(Errno::EBUSY));
    }
}

#[test]
fn read_returns_one_message_and_then_nothing() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        assert_eq!(play.receive(), None);
        play.read(A, 0, 2);
        let read = Message::Read(MessageId(1), FD, Pages::new(0, 2));
        assert_eq!(play.receive(), Some(read));
        assert_eq!(play.receive(), None, "it is no longer new");
    }
}

#[test]
fn a_small_buffer_leaves_the_message_queued() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        let small = Event::Receive(Some(Trouble::SmallBuffer));
        assert_eq!(play.call(small), Err(Errno::EMSGSIZE));
        assert!(play.poll().readable);
        assert!(play.receive().is_some());
    }
}

#[test]
fn a_bad_buffer_finishes_the_request_with_efault() {
    for dialect in BOTH {
        let bad = Event::Receive(Some(Trouble::BadBuffer));
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        assert_eq!(play.call(bad), Err(Errno::EFAULT));
        assert_eq!(play.completed(FIRST), Some(Err(Errno::EFAULT)));
        assert_eq!(play.end(A), Some(Err(Errno::ENOBUFS)));
        assert!(play
            .kernel
            .state()
            .session
            .as_ref()
            .unwrap()
            .descriptors
            .is_empty());

        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        assert_eq!(play.call(bad), Err(Errno::EFAULT));
        assert_eq!(play.end(A), Some(Err(Errno::EIO)));
    }
}

#[test]
fn a_further_open_that_cannot_be_delivered_fails_its_reads_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        play.read(A, 0, 1);
        if dialect == Dialect::Linux612 {
            assert_eq!(play.receive(), None, "it starts the OPEN");
        }
        let full = Event::Receive(Some(Trouble::NoDescriptor(Errno::EMFILE)));
        assert_eq!(play.call(full), Err(Errno::EMFILE));
        let ondine = dialect == Dialect::Ondine;
        assert_eq!(play.end(A), ondine.then_some(Err(Errno::EIO)));
    }
}

#[test]
fn an_open_without_a_descriptor_fails_with_that_errno() {
    for dialect in BOTH {
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        let full = Event::Receive(Some(Trouble::NoDescriptor(Errno::EMFILE)));
        assert_eq!(play.call(full), Err(Errno::EMFILE));
        assert_eq!(play.completed(FIRST), Some(Err(Errno::EMFILE)));
        assert_eq!(play.end(A), Some(Err(Errno::ENOBUFS)));
    }
}

#[test]
fn a_restored_open_whose_descriptor_lives_fails_in_c_and_is_left_alone_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        play.receive();
        play.apply(Event::Restore);
        if dialect == Dialect::Linux612 {
            assert_eq!(play.call(Event::Receive(None)), Err(Errno::EEXIST));
            assert_eq!(play.end(A), Some(Err(Errno::ENOBUFS)));
            continue;
        }
        assert_eq!(play.receive(), None);
        play.copen(FIRST, 16384);
        assert_eq!(play.end(A), Some(Ok(())));
    }
}

#[test]
fn messages_are_picked_cyclically_and_in_ondine_the_oldest_first() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        play.receive();
        play.read(B, 1, 1);
        play.apply(Event::Restore);
        let picked = [play.receive(), play.receive()].map(|message| match message {
            Some(Message::Read(id, ..)) => id,
            other => panic!("{other:?}"),
        });
        let order = match dialect {
            Dialect::Linux612 => [2, 1],
            Dialect::Ondine => [1, 2],
        };
        assert_eq!(picked, order.map(MessageId), "1 was the last one delivered");
    }
}

#[test]
fn mounts_take_turns_in_ondine_only() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::Mount(B, Mount(1), BLOB, Options::default()));
        assert_eq!(play.end(B), Some(Ok(())));
        let reads = [(0, MOUNT), (1, MOUNT), (2, Mount(1))];
        for (page, mount) in reads {
            let pages = Pages::new(page, 1);
            let waiter = Waiter(page as u8);
            play.apply(Event::Read(waiter, mount, BLOB, pages));
        }
        let picked = [play.receive(), play.receive(), play.receive()];
        let pages = picked.map(|message| match message {
            Some(Message::Read(.., pages)) => pages.first,
            other => panic!("{other:?}"),
        });
        let order = match dialect {
            Dialect::Linux612 => [0, 1, 2],
            Dialect::Ondine => [0, 2, 1],
        };
        assert_eq!(pages, order);
    }
}

#[test]
fn close_is_sent_for_an_open_object_only_and_ends_by_being_read() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::Unmount(MOUNT));
        assert_eq!(play.receive(), Some(Message::Close(MessageId(1), FD)));
        assert_eq!(play.completed(MessageId(1)), Some(Ok(())));
        assert!(play.kernel.state().objects.is_empty());

        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        play.apply(Event::Unmount(MOUNT));
        assert_eq!(play.receive(), None, "the object was not open");
    }
}

#[test]
fn closing_the_descriptor_ends_an_unread_close() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::Unmount(MOUNT));
        play.apply(Event::CloseDescriptor(FD));
        assert_eq!(play.completed(MessageId(1)), Some(Ok(())));
        assert_eq!(play.receive(), None);
    }
}

#[test]
fn a_mount_waits_until_the_blobs_former_life_has_ended_in_c_only() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::Unmount(MOUNT));
        let out = play.apply(Event::Mount(B, Mount(1), BLOB, Options::default()));
        let asked = out.contains(&EventOutcome::Queued(MessageId(2)));
        assert_eq!(asked, dialect == Dialect::Ondine);
        assert_eq!(play.end(B), None);
        assert!(matches!(play.receive(), Some(Message::Close(..))));
        assert_eq!(
            play.receive(),
            Some(Message::Open(MessageId(2), ObjectId(2), BLOB))
        );
        play.copen(MessageId(2), 16384);
        assert_eq!(play.end(B), Some(Ok(())));
    }
}

#[test]
fn two_mounts_share_one_open_and_one_object() {
    for dialect in BOTH {
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, Options::default()));
        play.apply(Event::Mount(B, Mount(1), BLOB, Options::default()));
        assert_eq!(play.receive(), Some(Message::Open(FIRST, FD, BLOB)));
        assert_eq!(play.receive(), None);
        play.copen(FIRST, 4096);
        assert_eq!([play.end(A), play.end(B)], [Some(Ok(())), Some(Ok(()))]);
        play.apply(Event::Unmount(MOUNT));
        assert_eq!(play.receive(), None, "the other mount uses it");
    }
}

#[test]
fn message_ids_go_up_come_round_and_run_out() {
    for dialect in BOTH {
        let mut play = Play::bound(dialect);
        play.kernel = Kernel::with_last_message(dialect, 1);
        play.bind();
        for blob in 0..3 {
            play.apply(Event::Mount(
                Waiter(blob),
                Mount(blob),
                Blob(blob),
                Options::default(),
            ));
        }
        assert_eq!(play.end(Waiter(2)), Some(Err(Errno::ENOBUFS)));
        play.receive();
        play.copen(FIRST, 0);
        let out = play.apply(Event::Mount(A, Mount(2), Blob(2), Options::default()));
        assert!(out.contains(&EventOutcome::Queued(FIRST)), "{out:?}");
    }
}

#[test]
fn poll_reports_what_read_returns_in_ondine_only() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.apply(Event::CloseDescriptor(FD));
        assert!(!play.poll().readable);
        play.read(A, 0, 1);
        assert!(play.poll().readable);
        let open = Message::Open(MessageId(2), ObjectId(2), BLOB);
        if dialect == Dialect::Linux612 {
            assert_eq!(
                play.receive(),
                None,
                "poll was wrong: this read starts the OPEN"
            );
        }
        assert_eq!(play.receive(), Some(open));
        assert!(!play.poll().readable, "the READ waits for the OPEN");
        play.copen(MessageId(2), 16384);
        assert!(play.poll().readable);
        let read = Message::Read(MessageId(1), ObjectId(2), Pages::new(0, 1));
        assert_eq!(play.receive(), Some(read));
    }
}

#[test]
fn a_failed_cache_hangs_up_in_ondine_only() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        let out = play.apply(Event::CacheFails);
        assert!(out.contains(&EventOutcome::PollersWoken));
        let hung_up = dialect == Dialect::Ondine;
        assert_eq!(
            play.poll(),
            Readiness {
                readable: false,
                hung_up
            }
        );
        assert_eq!(play.receive(), None);
        for command in [
            Event::Bind,
            Event::Restore,
            Event::Copen(Some(FIRST), Reply::Size(0)),
        ] {
            assert_eq!(play.call(command), Err(Errno::EIO));
        }
    }
}

#[test]
fn impossible_events_are_ignored() {
    for dialect in BOTH {
        let mut play = Play::closed(dialect);
        for event in [
            Event::Bind,
            Event::Receive(None),
            Event::CloseDevice,
            Event::CacheFails,
            Event::Complete(FD, FIRST),
            Event::CloseDescriptor(FD),
            Event::Read(A, MOUNT, BLOB, Pages::new(0, 1)),
            Event::Resume(A),
            Event::Kill(A),
            Event::Unmount(MOUNT),
        ] {
            assert_eq!(play.apply(event), [EventOutcome::Ignored]);
        }
        assert_eq!(play.call(Event::OpenDevice), Ok(Value::Done));
    }
}
