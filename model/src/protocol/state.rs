// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the kernel's side knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Blob, MessageId, Mount, ObjectId, Options, Pages, Waiter};
use crate::observation::Errno;

/// Everything between two events.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct State {
    /// The cache record, as long as the device or a descriptor is open.
    pub session: Option<Session>,
    /// The objects in use.
    pub objects: BTreeMap<Blob, Object>,
    /// The cache files: they outlive their objects.
    pub files: BTreeMap<Blob, CacheFile>,
    /// The mounts and what they hold.
    pub mounts: BTreeMap<Mount, Mounted>,
    /// The tasks inside mount(2) or a read.
    pub waiters: BTreeMap<Waiter, Waiting>,
}

/// One opening of the device. Ids start anew in each: nothing of an earlier one can still be open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Session {
    /// The device itself is open, not just descriptors that came from it.
    pub device_open: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// The daemon asked for the extensions.
    pub extensions: bool,
    /// The request table.
    pub requests: BTreeMap<MessageId, Request>,
    /// Ids are given from here up, cyclically.
    pub next_message: u32,
    /// Messages are delivered from here up, cyclically.
    pub next_delivery: u32,
    /// Open descriptors and the objects behind them; none once the object is gone.
    pub descriptors: BTreeMap<ObjectId, Option<Blob>>,
    /// The last object id given.
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
            descriptors: BTreeMap::new(),
            last_object: 0,
        }
    }
}

/// A session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `bind` is still to come.
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
    /// The object that it is about.
    pub blob: Blob,
    /// What it asks.
    pub body: Body,
    /// The daemon has not read it since it was queued or restored.
    pub new: bool,
    /// The daemon has read it at some time.
    pub known: bool,
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Open the object.
    Open,
    /// The object is no longer used. It was known by this descriptor.
    Close(ObjectId),
    /// Write these pages.
    Read(Pages),
}

/// A cache object in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Object {
    /// Its descriptor.
    pub identity: Identity,
    /// Where it is in its life.
    pub state: ObjectState,
}

/// The descriptor of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// There was none yet (C: id 0).
    Never,
    /// This one is open.
    Live(ObjectId),
    /// The last one was closed (C: id -1).
    Closed,
}

/// An object's life (6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectState {
    /// Its first OPEN is pending.
    Opening,
    /// In service: READs are deliverable.
    Open,
    /// Its descriptor is gone; the next READ re-opens it.
    Closed,
    /// A further OPEN is pending, or was refused while its descriptor stays open.
    Reopening,
    /// Nobody uses it; CLOSE is pending. In Ondine there is no object by then.
    Dropping,
}

/// What the cache directory holds for a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CacheFile {
    /// The blob's size in bytes as `copen` gave it.
    pub size: u64,
    /// The pages that were written. They may lie beyond the size.
    pub present: BTreeSet<u64>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mounted {
    /// How it wants its waits.
    pub options: Options,
    /// Its blobs.
    pub blobs: BTreeMap<Blob, Hold>,
}

/// A mount's hold on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It uses the object.
    Live,
    /// The object was withdrawn with its cache, for good.
    Withdrawn,
}

/// A task inside mount(2) or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Waiting {
    /// The mount that it is about.
    pub mount: Mount,
    /// The blob that it is about.
    pub blob: Blob,
    /// What it wants.
    pub want: Want,
    /// What it waits for.
    pub wait: Wait,
}

/// What a task wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// The blob, for a mount.
    Blob(Options),
    /// All of these pages.
    Pages(Pages),
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// The object's OPEN.
    Opened,
    /// The end of the object's former life.
    Dropped,
    /// A READ that covers the page that it misses first.
    Read(MessageId, u64),
    /// A new session.
    Session,
    /// Nothing: it is about to run.
    Woken {
        /// What ended the wait.
        verdict: Verdict,
        /// A fatal signal came since: it will not wait again.
        killed: bool,
    },
}

/// What a woken reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There is a session again.
    NewSession,
    /// Its READ was completed.
    Completed {
        /// The page that it missed first.
        missing: u64,
        /// The first page of the READ.
        first: u64,
        /// How.
        end: End,
    },
}

/// How a request is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The daemon says that it is done.
    Done,
    /// The daemon says that it cannot be done.
    Answered(Errno),
    /// It could not be delivered, or its object or waiter went away.
    Failed(Errno),
    /// The session died.
    Dead,
}

impl End {
    /// As [`super::Outcome::Completed`] shows it.
    pub fn result(self) -> Result<(), Errno> {
        match self {
            End::Done => Ok(()),
            End::Answered(errno) | End::Failed(errno) => Err(errno),
            End::Dead => Err(Errno::EIO),
        }
    }
}
