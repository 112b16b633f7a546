// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's side of the cachefiles on-demand protocol as a pure state machine, written for clarity from
//! spec/cachefiles-ondemand.md (the sections cited here).
//!
//! [`Kernel::apply`] takes one [`Event`], whatever can happen next, and gives the [`Outcome`]s: what the caller got,
//! which requests were queued and completed, which waiters end and how, whether pollers are woken. There is no clock,
//! no thread and no file: time limits, signals and deaths are events, a cache file is the set of its present pages.
//!
//! The machine speaks two dialects. [`Dialect::Linux612`] is what C did, [`Dialect::Ondine`] departs from it in the
//! rows of [`dialect::TABLE`] and nowhere else.

mod descriptor;
mod device;
pub mod dialect;
mod event;
mod kernel;
mod object;
mod outcome;
mod reader;
mod request;
mod state;

pub use dialect::{Departure, Dialect};
pub use event::{Blob, Event, MessageId, Mount, ObjectId, Options, Pages, Reply, Trouble, Waiter};
pub use kernel::Kernel;
pub use outcome::{Message, Outcome, Readiness, Value};
pub use state::{
    Body, CacheFile, End, Hold, Identity, Mounted, Object, ObjectState, Phase, Request, Session,
    State, Verdict, Wait, Waiting, Want,
};
