// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sharing of READs: one per reader in Linux 6.12, one for all readers in Ondine.

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Body, Dialect, Event, EventOutcome, Message, MessageId, Pages, Trouble, Value,
};

use super::play::{Play, A, B, BOTH, FD};

fn reads(play: &mut Play) -> Vec<(u64, u64)> {
    let messages = std::iter::from_fn(|| play.receive());
    let ranges = messages.map(|message| match message {
        Message::Read(_, _, Pages { first, end }) => (first, end),
        other => panic!("{other:?}"),
    });
    ranges.collect()
}

#[test]
fn equal_ranges_make_one_message_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 2);
        play.read(B, 0, 2);
        let messages = if dialect == Dialect::Ondine { 1 } else { 2 };
        assert_eq!(reads(&mut play).len(), messages);
        play.write(FD, 0, 2);
        play.complete(FD, MessageId(1));
        assert_eq!(play.end(A), Some(Ok(())));
        let b = if dialect == Dialect::Ondine {
            Some(Ok(()))
        } else {
            None
        };
        assert_eq!(play.end(B), b, "C waits for the daemon's second answer");
    }
}

#[test]
fn overlapping_ranges_ask_for_the_difference() {
    let mut play = Play::mounted(Dialect::Ondine);
    play.read(A, 1, 2);
    play.read(B, 0, 4);
    assert_eq!(reads(&mut play), [(1, 3), (0, 1), (3, 4)]);
}

#[test]
fn each_missing_run_is_asked_for_at_once_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.write(FD, 1, 1);
        play.read(A, 0, 4);
        let all: &[(u64, u64)] = &[(0, 1), (2, 4)];
        let asked = if dialect == Dialect::Ondine {
            all
        } else {
            &all[..1]
        };
        assert_eq!(reads(&mut play), asked, "a READ is trimmed to the hole");
    }
}

#[test]
fn a_partial_answer_to_a_merged_read_makes_other_readers_submit_again() {
    let mut play = Play::mounted(Dialect::Ondine);
    play.read(A, 0, 4);
    play.read(B, 2, 2);
    assert_eq!(reads(&mut play), [(0, 4)]);
    play.write(FD, 0, 1);
    play.complete(FD, MessageId(1));
    assert_eq!([play.end(A), play.end(B)], [None, None]);
    assert_eq!(
        reads(&mut play),
        [(1, 4)],
        "A asks for 1..4, which covers what B misses"
    );
    play.complete(FD, MessageId(2));
    assert_eq!([play.end(A), play.end(B)], [Some(Err(Errno::EIO)); 2]);
}

#[test]
fn an_errno_goes_to_every_reader_of_the_request() {
    let mut play = Play::mounted(Dialect::Ondine);
    play.apply(Event::EnableExtensions);
    play.read(A, 0, 2);
    play.read(B, 1, 1);
    play.receive();
    play.apply(Event::CompleteWithError(FD, MessageId(1), Errno::ENODATA));
    assert_eq!([play.end(A), play.end(B)], [Some(Err(Errno::ENODATA)); 2]);
}

#[test]
fn an_errno_spares_a_reader_whose_pages_are_present() {
    let mut play = Play::mounted(Dialect::Ondine);
    play.apply(Event::EnableExtensions);
    play.read(A, 0, 2);
    play.read(B, 1, 1);
    play.receive();
    play.write(FD, 1, 1);
    play.apply(Event::CompleteWithError(FD, MessageId(1), Errno::ENODATA));
    assert_eq!(
        [play.end(A), play.end(B)],
        [Some(Err(Errno::ENODATA)), Some(Ok(()))]
    );
}

#[test]
fn a_read_that_cannot_be_delivered_spares_a_reader_whose_pages_are_present_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        play.write(FD, 0, 1);
        let bad = Event::Receive(Some(Trouble::BadBuffer));
        assert_eq!(play.call(bad), Err(Errno::EFAULT));
        let ondine = dialect == Dialect::Ondine;
        let end = if ondine { Ok(()) } else { Err(Errno::EIO) };
        assert_eq!(play.end(A), Some(end));
    }
}

#[test]
fn killing_a_reader_drops_its_request_in_c_and_keeps_a_delivered_one_in_ondine() {
    for dialect in BOTH {
        let mut play = Play::mounted(dialect);
        play.read(A, 0, 1);
        play.apply(Event::Kill(A));
        assert_eq!(play.end(A), Some(Err(Errno::EIO)));
        assert_eq!(reads(&mut play).len(), 0, "nobody waits for it");
        play.read(A, 0, 1);
        play.read(B, 0, 1);
        play.apply(Event::Kill(A));
        assert_eq!(reads(&mut play).len(), 1, "B waits");
        play.apply(Event::Kill(B));
        let ondine = dialect == Dialect::Ondine;
        let last = MessageId(if ondine { 2 } else { 3 });
        assert_eq!(play.kernel.clone().apply(Event::Complete(FD, last))[0], {
            let done = if ondine {
                Ok(Value::Done)
            } else {
                Err(Errno::EINVAL)
            };
            EventOutcome::Returned(done)
        });
    }
}

#[test]
fn the_open_of_a_closed_object_is_queued_with_the_first_read_that_needs_it() {
    let mut play = Play::mounted(Dialect::Ondine);
    play.write(FD, 1, 1);
    play.apply(Event::CloseDescriptor(FD));
    play.read(A, 0, 4);
    let session = play.kernel.state().session.as_ref().expect("it is bound");
    let bodies: Vec<Body> = session.requests.values().map(|one| one.body).collect();
    let read = |first, count| Body::Read(Pages::new(first, count));
    assert_eq!(bodies, [read(0, 1), Body::Open, read(2, 2)]);
}
