// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A kernel with shorthands for the most frequent steps.

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Dialect, Event, EventOutcome, Kernel, Message, MessageId, Mount, ObjectId, Options,
    Pages, Readiness, Reply, Value, Waiter,
};

pub(crate) const BOTH: [Dialect; 2] = [Dialect::Linux612, Dialect::Ondine];
pub(crate) const BLOB: Blob = Blob(0);
pub(crate) const MOUNT: Mount = Mount(0);
pub(crate) const A: Waiter = Waiter(0);
pub(crate) const B: Waiter = Waiter(1);
pub(crate) const FIRST: MessageId = MessageId(0);
pub(crate) const FD: ObjectId = ObjectId(1);

/// A kernel and all outcomes so far.
pub(crate) struct Play {
    pub(crate) kernel: Kernel,
    pub(crate) seen: Vec<EventOutcome>,
}

impl Play {
    /// A kernel whose device is open and bound.
    pub(crate) fn bound(dialect: Dialect) -> Self {
        let mut play = Play::closed(dialect);
        play.bind();
        play
    }

    /// A kernel whose device is closed.
    pub(crate) fn closed(dialect: Dialect) -> Self {
        let kernel = Kernel::new(dialect);
        let seen = Vec::new();
        Self { kernel, seen }
    }

    /// `MOUNT` holds `BLOB`, whose descriptor is `FD`; the next message id is 1.
    pub(crate) fn mounted(dialect: Dialect) -> Self {
        Self::mounted_with(dialect, Options::default())
    }

    /// Like [`Play::mounted`], with options.
    pub(crate) fn mounted_with(dialect: Dialect, options: Options) -> Self {
        let mut play = Play::bound(dialect);
        play.apply(Event::Mount(A, MOUNT, BLOB, options));
        assert_eq!(play.receive(), Some(Message::Open(FIRST, FD, BLOB)));
        play.copen(FIRST, 16384);
        assert_eq!(play.end(A), Some(Ok(())));
        play
    }

    /// Opens the device and binds it.
    pub(crate) fn bind(&mut self) {
        assert_eq!(self.call(Event::OpenDevice), Ok(Value::Done));
        assert_eq!(self.call(Event::Bind), Ok(Value::Done));
    }

    /// Applies an event and runs every reader that it wakes.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<EventOutcome> {
        let mut out = self.kernel.apply(event);
        out.extend(self.kernel.settle());
        self.seen.extend(&out);
        out
    }

    /// Result of a call that must be possible.
    pub(crate) fn call(&mut self, event: Event) -> Result<Value, Errno> {
        let out = self.apply(event);
        match out.first() {
            Some(EventOutcome::Returned(returned)) => *returned,
            _ => panic!("{event:?} is not a possible call: {out:?}"),
        }
    }

    /// read(2); `None` if it returns 0.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        match self.call(Event::Receive(None)) {
            Ok(Value::Message(message)) => Some(message),
            Ok(Value::Nothing) => None,
            other => panic!("read(2) gives {other:?}"),
        }
    }

    /// Answers an OPEN with a size.
    pub(crate) fn copen(&mut self, message: MessageId, size: u64) {
        let answer = Event::Copen(Some(message), Reply::Size(size));
        assert_eq!(self.call(answer), Ok(Value::Done));
    }

    /// `MOUNT` reads `BLOB`.
    pub(crate) fn read(&mut self, waiter: Waiter, first: u64, count: u64) {
        self.apply(Event::Read(waiter, MOUNT, BLOB, Pages::new(first, count)));
    }

    /// The daemon writes pages.
    pub(crate) fn write(&mut self, object: ObjectId, first: u64, count: u64) {
        let write = Event::Write(object, Pages::new(first, count));
        assert_eq!(self.call(write), Ok(Value::Done));
    }

    /// Completes a READ.
    pub(crate) fn complete(&mut self, object: ObjectId, message: MessageId) {
        assert_eq!(self.call(Event::Complete(object, message)), Ok(Value::Done));
    }

    /// Result of the waiter's last operation; `None` if it waits or never started.
    pub(crate) fn end(&self, waiter: Waiter) -> Option<Result<(), Errno>> {
        if self.kernel.state().waiters.contains_key(&waiter) {
            return None;
        }
        self.seen.iter().rev().find_map(|outcome| match outcome {
            EventOutcome::Ended(ended, result) if *ended == waiter => Some(*result),
            _ => None,
        })
    }

    /// Result of the last completion of the request with this id.
    pub(crate) fn completed(&self, id: MessageId) -> Option<Result<(), Errno>> {
        self.seen.iter().rev().find_map(|outcome| match outcome {
            EventOutcome::Completed(completed, result) if *completed == id => Some(*result),
            _ => None,
        })
    }

    /// poll(2).
    pub(crate) fn poll(&mut self) -> Readiness {
        match self.call(Event::Poll) {
            Ok(Value::Poll(readiness)) => readiness,
            other => panic!("poll(2) gives {other:?}"),
        }
    }
}
