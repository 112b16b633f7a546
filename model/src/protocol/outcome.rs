// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Outcomes of an event.

use serde::Serialize;

use super::{Blob, MessageId, ObjectId, Pages, Waiter};
use crate::observation::Errno;

/// An outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventOutcome {
    /// The system call returns this to the daemon, or umount(2) to its caller. Precedes all other
    /// outcomes.
    Returned(Result<Value, Errno>),
    /// A request entered the table.
    Queued(MessageId),
    /// A request left the table and is completed.
    Completed(MessageId, Result<(), Errno>),
    /// A reader's wait has ended; the reader continues at [`super::Event::Resume`].
    Woken(Waiter),
    /// A mount or read has ended. A waiter whose event yields neither this nor [`EventOutcome::Woken`]
    /// waits.
    Ended(Waiter, Result<(), Errno>),
    /// Pollers of the device are woken.
    PollersWoken,
    /// No caller can cause this event now; nothing changed.
    Ignored,
}

/// Return value of a successful call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// Success without a value.
    Done,
    /// read(2) returns 0.
    Nothing,
    /// read(2) returns a message.
    Message(Message),
    /// poll(2) returns these events.
    Poll(Readiness),
}

/// A message as read(2) returns it (docs/spec/cachefiles-ondemand.md section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Open the object; carries its keys and the new descriptor.
    Open(MessageId, ObjectId, Blob),
    /// The object is no longer used.
    Close(MessageId, ObjectId),
    /// Fill these pages.
    Read(MessageId, ObjectId, Pages),
}

/// Events of poll(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Readiness {
    /// POLLIN.
    pub readable: bool,
    /// POLLHUP.
    pub hung_up: bool,
}
