// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What comes of an event.

use serde::Serialize;

use super::{Blob, MessageId, ObjectId, Pages, Waiter};
use crate::observation::Errno;

/// One consequence of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The system call returns this to the daemon, or umount(2) to its caller. Comes before all others.
    Returned(Result<Value, Errno>),
    /// A request entered the table.
    Queued(MessageId),
    /// A request left the table and is completed.
    Completed(MessageId, Result<(), Errno>),
    /// A reader's wait is over; it goes on at [`super::Event::Resume`].
    Woken(Waiter),
    /// A mount or read is over. A waiter whose event brings neither this nor [`Outcome::Woken`] waits.
    Ended(Waiter, Result<(), Errno>),
    /// Pollers of the device are woken.
    PollersWoken,
    /// Nobody could do this now; nothing changed.
    Ignored,
}

/// What a call returns when it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// The call did what it says.
    Done,
    /// read(2) returns 0.
    Nothing,
    /// read(2) returns a message.
    Message(Message),
    /// poll(2).
    Poll(Readiness),
}

/// A message as read(2) gives it (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The object's keys, and the descriptor that was made.
    Open(MessageId, ObjectId, Blob),
    /// The object is no longer used.
    Close(MessageId, ObjectId),
    /// Pages are wanted.
    Read(MessageId, ObjectId, Pages),
}

/// What poll(2) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Readiness {
    /// POLLIN.
    pub readable: bool,
    /// POLLHUP.
    pub hung_up: bool,
}
