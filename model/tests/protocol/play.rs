// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A kernel that is played with: short words for what the scenarios do most.

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Dialect, Event, Kernel, Message, MessageId, Mount, ObjectId, Options, Outcome, Pages,
    Readiness, Reply, Value, Waiter,
};

pub(crate) const BOTH: [Dialect; 2] = [Dialect::Linux612, Dialect::Ondine];
pub(crate) const BLOB: Blob = Blob(0);
pub(crate) const MOUNT: Mount = Mount(0);
pub(crate) const A: Waiter = Waiter(0);
pub(crate) const B: Waiter = Waiter(1);
pub(crate) const FIRST: MessageId = MessageId(0);
pub(crate) const FD: ObjectId = ObjectId(1);

/// A kernel and everything that came of what was done to it.
pub(crate) struct Play {
    pub(crate) kernel: Kernel,
    pub(crate) seen: Vec<Outcome>,
}

impl Play {
    /// The device is open and bound.
    pub(crate) fn bound(dialect: Dialect) -> Self {
        let mut play = Play::closed(dialect);
        play.bind();
        play
    }

    /// Nothing is open.
    pub(crate) fn closed(dialect: Dialect) -> Self {
        let kernel = Kernel::new(dialect);
        let seen = Vec::new();
        Self { kernel, seen }
    }

    /// `MOUNT` holds `BLOB`, whose descriptor is `FD`; the next message id is 1.
    pub(crate) fn mounted(dialect: Dialect) -> Self {
        Self::mounted_with(dialect, Options::default())
    }

    /// As [`Play::mounted`], with options.
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

    /// Something happens, and every reader that it wakes runs.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<Outcome> {
        let mut out = self.kernel.apply(event);
        out.extend(self.kernel.settle());
        self.seen.extend(&out);
        out
    }

    /// The result of a call that somebody can make.
    pub(crate) fn call(&mut self, event: Event) -> Result<Value, Errno> {
        let out = self.apply(event);
        match out.first() {
            Some(Outcome::Returned(returned)) => *returned,
            _ => panic!("{event:?} is no call that can be made: {out:?}"),
        }
    }

    /// read(2); none if it returns 0.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        match self.call(Event::Receive(None)) {
            Ok(Value::Message(message)) => Some(message),
            Ok(Value::Nothing) => None,
            other => panic!("read(2) gives {other:?}"),
        }
    }

    /// A good answer to an OPEN.
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

    /// The daemon says that a READ is done.
    pub(crate) fn complete(&mut self, object: ObjectId, message: MessageId) {
        assert_eq!(self.call(Event::Complete(object, message)), Ok(Value::Done));
    }

    /// How the waiter's last task ended; none if it waits or never was.
    pub(crate) fn end(&self, waiter: Waiter) -> Option<Result<(), Errno>> {
        if self.kernel.state().waiters.contains_key(&waiter) {
            return None;
        }
        self.seen.iter().rev().find_map(|outcome| match outcome {
            Outcome::Ended(ended, result) if *ended == waiter => Some(*result),
            _ => None,
        })
    }

    /// How the request of that id was last completed.
    pub(crate) fn completed(&self, id: MessageId) -> Option<Result<(), Errno>> {
        self.seen.iter().rev().find_map(|outcome| match outcome {
            Outcome::Completed(completed, result) if *completed == id => Some(*result),
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
