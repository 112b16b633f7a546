// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The machine: applies one event and returns its outcomes.

use super::{Blob, Departure, Dialect, Event, EventOutcome, ObjectState, Phase, State, Value};
use crate::observation::Errno;

/// Result of a system call; `None` if no caller can make the call now.
pub(super) type Call = Option<Result<Value, Errno>>;

/// A call that returns 0.
pub(super) const DONE: Call = Some(Ok(Value::Done));

/// The kernel's side of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kernel {
    pub(super) dialect: Dialect,
    pub(super) last_message: u32,
    /// The most pages that one READ asks for, where it is bounded.
    pub(super) longest_read: Option<u64>,
    pub(super) state: State,
}

impl Kernel {
    /// A machine without open, mounted or cached objects.
    pub fn new(dialect: Dialect) -> Self {
        Self::with_last_message(dialect, u32::MAX)
    }

    /// Like [`Kernel::new`], with message ids limited to 0..=`last`, to test exhaustion and
    /// wrap-around.
    pub fn with_last_message(dialect: Dialect, last: u32) -> Self {
        let state = State::default();
        Self {
            dialect,
            last_message: last,
            longest_read: None,
            state,
        }
    }

    /// The same machine with READs of `pages` pages at most, counted from the first missing page of each run.
    pub fn with_longest_read(self, pages: u64) -> Self {
        let longest_read = Some(pages);
        Self {
            longest_read,
            ..self
        }
    }

    /// Replaces the state, for tests that damage it deliberately.
    pub fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The rules it follows.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The current state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies an event. Readers that it wakes continue at their [`Event::Resume`].
    pub fn apply(&mut self, event: Event) -> Vec<EventOutcome> {
        let mut out = Vec::new();
        let daemons = self.daemons_call(event, &mut out);
        match daemons {
            Some(Some(returned)) => out.insert(0, EventOutcome::Returned(returned)),
            Some(None) => out.push(EventOutcome::Ignored),
            None => self.readers_event(event, &mut out),
        }
        if self.dialect.departs(Departure::ReopenAtOnce) {
            self.reopen_all(&mut out);
        }
        out
    }

    /// Resumes every woken reader, in the order of their numbers, until none is left.
    pub fn settle(&mut self) -> Vec<EventOutcome> {
        let mut out = Vec::new();
        while let Some(waiter) = self.woken() {
            out.extend(self.apply(Event::Resume(waiter)));
        }
        out
    }

    /// Handles an event of the daemon or the cache. The outer option is `None` for other events,
    /// the inner if the event cannot happen.
    fn daemons_call(&mut self, event: Event, out: &mut Vec<EventOutcome>) -> Option<Call> {
        Some(match event {
            Event::OpenDevice => self.open_device(),
            Event::Bind => self.bind(out),
            Event::EnableExtensions => self.enable_extensions(),
            Event::Receive(trouble) => self.receive(trouble, out),
            Event::Poll => self.poll(),
            Event::Copen(message, reply) => self.copen(message, reply, out),
            Event::Restore => self.restore(out),
            Event::CloseDevice => self.close_device(out),
            Event::Write(object, pages) => self.write(object, pages),
            Event::Complete(object, message) => self.complete(object, message, None, out),
            Event::CompleteWithError(object, message, errno) => {
                self.complete(object, message, Some(errno), out)
            }
            Event::CloseDescriptor(object) => self.close_descriptor(object, out),
            Event::CacheFails => self.cache_fails(out),
            _ => return None,
        })
    }

    fn readers_event(&mut self, event: Event, out: &mut Vec<EventOutcome>) {
        let happened = match event {
            Event::Mount(waiter, mount, blob, options) => {
                self.mount(waiter, mount, blob, options, out)
            }
            Event::Read(waiter, mount, blob, pages) => self.read(waiter, mount, blob, pages, out),
            Event::Resume(waiter) => self.resume(waiter, out),
            Event::Kill(waiter) => self.kill(waiter, out),
            Event::Expire(waiter) => self.expire(waiter, out),
            Event::Unmount(mount) => self.unmount(mount, false, out),
            Event::ForceUnmount(mount) => self.unmount(mount, true, out),
            _ => unreachable!("the daemon's"),
        };
        if !happened {
            out.push(EventOutcome::Ignored);
        }
    }

    /// True if there is a session in the given phase.
    pub(super) fn is(&self, phase: Phase) -> bool {
        let session = self.state.session.as_ref();
        session.is_some_and(|session| session.phase == phase)
    }

    /// Queues the OPEN that each new READ of a closed object needs.
    pub(super) fn reopen_all(&mut self, out: &mut Vec<EventOutcome>) {
        let objects = self.state.objects.iter();
        let closed = objects.filter(|(_, object)| object.state == ObjectState::Closed);
        let blobs: Vec<Blob> = closed.map(|(blob, _)| *blob).collect();
        for blob in blobs {
            if self.has_new_read(blob) {
                self.reopen(blob, out);
            }
        }
    }
}
