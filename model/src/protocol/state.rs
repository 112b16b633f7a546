// SPDX-License-Identifier: Apache-2.0 OR MIT

//! State of the kernel's side.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Blob, MessageId, Mount, ObjectId, Options, Pages, Waiter};
use crate::observation::Errno;

/// Complete state between two events.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct State {
    /// The cache record; exists while the device or a descriptor is open.
    pub session: Option<Session>,
    /// Objects in use.
    pub objects: BTreeMap<Blob, Object>,
    /// Cache files, which outlive their objects.
    pub files: BTreeMap<Blob, CacheFile>,
    /// Mounts and the objects they hold.
    pub mounts: BTreeMap<Mount, Mounted>,
    /// Tasks inside mount(2) or a read.
    pub waiters: BTreeMap<Waiter, Waiting>,
}

/// An opening of the device. Ids restart in each, because no request or descriptor of an earlier
/// one can remain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Session {
    /// The device itself is open, not only descriptors created through it.
    pub device_open: bool,
    /// Current phase.
    pub phase: Phase,
    /// The daemon enabled the extensions.
    pub extensions: bool,
    /// The request table.
    pub requests: BTreeMap<MessageId, Request>,
    /// Next message id to allocate; ids wrap around.
    pub next_message: u32,
    /// Next message id to deliver, in the order of Linux 6.12; ids wrap around.
    pub next_delivery: u32,
    /// Whose turn is next, in the order of Ondine: OPENs and CLOSEs (`None`), or the READs of this mount.
    pub turn: Option<Mount>,
    /// Open descriptors and their objects; `None` once the object is gone.
    pub descriptors: BTreeMap<ObjectId, Option<Blob>>,
    /// Last object id allocated.
    pub last_object: u32,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            device_open: true,
            phase: Phase::Unbound,
            extensions: false,
            requests: BTreeMap::new(),
            next_message: 0,
            next_delivery: 0,
            turn: None,
            descriptors: BTreeMap::new(),
            last_object: 0,
        }
    }
}

/// Phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `bind` has not happened.
    Unbound,
    /// In service.
    Bound,
    /// The device was closed.
    Dead,
    /// The cache's file system failed.
    Failed,
}

/// An entry of the request table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Request {
    /// Object of the request.
    pub blob: Blob,
    /// Mount of the reader; `None` for an OPEN or a CLOSE.
    pub mount: Option<Mount>,
    /// Operation requested.
    pub body: Body,
    /// Not read by the daemon since it was queued or restored.
    pub new: bool,
    /// Read by the daemon at least once.
    pub known: bool,
}

/// Operation that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Open the object.
    Open,
    /// The object, known by this descriptor, is no longer used.
    Close(ObjectId),
    /// Fill these pages.
    Read(Pages),
}

/// A cache object in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Object {
    /// State of its descriptor.
    pub identity: Identity,
    /// Current state.
    pub state: ObjectState,
}

/// State of an object's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Never opened (C: id 0).
    Never,
    /// Open.
    Live(ObjectId),
    /// Closed (C: id -1).
    Closed,
}

/// Life cycle of an object (docs/spec/cachefiles-ondemand.md section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectState {
    /// The first OPEN is pending.
    Opening,
    /// In service: READs are deliverable.
    Open,
    /// The descriptor is closed; the next READ re-opens the object.
    Closed,
    /// A further OPEN is pending, or was refused while its descriptor stays open.
    Reopening,
    /// Unused, with CLOSE pending. Ondine has removed the object by then.
    Dropping,
}

/// Cache file of a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CacheFile {
    /// Size of the blob in bytes as given by `copen`.
    pub size: u64,
    /// Pages written. They may lie beyond the size.
    pub present: BTreeSet<u64>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mounted {
    /// Wait options.
    pub options: Options,
    /// Blobs in use.
    pub blobs: BTreeMap<Blob, Hold>,
}

/// Reference of a mount to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// The object is in use.
    Live,
    /// The object was withdrawn permanently with its cache.
    Withdrawn,
}

/// A task inside mount(2) or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Waiting {
    /// Mount of the operation.
    pub mount: Mount,
    /// Blob of the operation.
    pub blob: Blob,
    /// Goal of the operation.
    pub want: Want,
    /// Condition waited for.
    pub wait: Wait,
}

/// Goal of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Acquire the blob, for a mount.
    Blob(Options),
    /// Have all of these pages present.
    Pages(Pages),
}

/// Condition that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Completion of the object's OPEN.
    Opened,
    /// End of the object's former life.
    Dropped,
    /// Completion of a READ that covers the first missing page.
    Read(MessageId, u64),
    /// A new session.
    Session,
    /// None: the task is runnable.
    Woken {
        /// Event that ended the wait.
        verdict: Verdict,
        /// A fatal signal arrived since, so that the task does not wait again.
        killed: bool,
    },
}

/// Event that woke a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A session is available again.
    NewSession,
    /// The READ was completed.
    Completed {
        /// First page missing for this reader.
        missing: u64,
        /// First page of the READ.
        first: u64,
        /// Kind of completion.
        end: End,
    },
}

/// Completion of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The daemon reported success.
    Done,
    /// The daemon reported an error.
    Answered(Errno),
    /// The request could not be delivered, or its object or waiter went away.
    Failed(Errno),
    /// The session died.
    Dead,
}

impl End {
    /// Result as [`super::EventOutcome::Completed`] reports it.
    pub fn result(self) -> Result<(), Errno> {
        match self {
            End::Done => Ok(()),
            End::Answered(errno) | End::Failed(errno) => Err(errno),
            End::Dead => Err(Errno::EIO),
        }
    }
}
