// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's side of the cachefiles on-demand protocol as a pure state machine, written for
//! clarity from docs/spec/cachefiles-ondemand.md.
//!
//! [`Kernel::apply`] takes one [`Event`] and returns its [`EventOutcome`]s: results of calls, requests
//! queued and completed, waiters ended or woken, pollers woken. There is no clock, no thread and no
//! file: time limits, signals and deaths are events, and a cache file is the set of its present
//! pages.
//!
//! The machine implements two dialects. [`Dialect::Linux612`] behaves like C; [`Dialect::Ondine`]
//! departs from it only in the rows of [`dialect::TABLE`].

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
pub use outcome::{EventOutcome, Message, Readiness, Value};
pub use state::{
    Body, CacheFile, End, Hold, Identity, Mounted, Object, ObjectState, Phase, Request, Session,
    State, Verdict, Wait, Waiting, Want,
};
