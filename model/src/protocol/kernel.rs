// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The machine: one event in, its outcomes out.

use super::{Blob, Departure, Dialect, Event, ObjectState, Outcome, Phase, State, Value};
use crate::observation::Errno;

/// What a system call returns; none if nobody can make the call now.
pub(super) type Call = Option<Result<Value, Errno>>;

/// A call that returns 0.
pub(super) const DONE: Call = Some(Ok(Value::Done));

/// The kernel's side of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kernel {
    pub(super) dialect: Dialect,
    pub(super) last_message: u32,
    pub(super) state: State,
}

impl Kernel {
    /// Nothing is open, mounted or cached.
    pub fn new(dialect: Dialect) -> Self {
        Self::with_last_message(dialect, u32::MAX)
    }

    /// As [`Kernel::new`], with message ids from 0 to `last` only, to see them run out and come back.
    pub fn with_last_message(dialect: Dialect, last: u32) -> Self {
        let state = State::default();
        Self {
            dialect,
            last_message: last,
            state,
        }
    }

    /// The same machine in another state, for tests that damage one on purpose.
    pub fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Whose rules it follows.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What it knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Does one thing that happens. Readers that it wakes go on at their [`Event::Resume`].
    pub fn apply(&mut self, event: Event) -> Vec<Outcome> {
        let mut out = Vec::new();
        let daemons = self.daemons_call(event, &mut out);
        match daemons {
            Some(Some(returned)) => out.insert(0, Outcome::Returned(returned)),
            Some(None) => out.push(Outcome::Ignored),
            None => self.readers_event(event, &mut out),
        }
        if self.dialect.departs(Departure::ReopenAtOnce) {
            self.reopen_all(&mut out);
        }
        out
    }

    /// Resumes every woken reader, in the order of their numbers, until none is left.
    pub fn settle(&mut self) -> Vec<Outcome> {
        let mut out = Vec::new();
        while let Some(waiter) = self.woken() {
            out.extend(self.apply(Event::Resume(waiter)));
        }
        out
    }

    /// The outer option tells whether the event is the daemon's (or the cache's), the inner whether it can happen.
    fn daemons_call(&mut self, event: Event, out: &mut Vec<Outcome>) -> Option<Call> {
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

    fn readers_event(&mut self, event: Event, out: &mut Vec<Outcome>) {
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
            out.push(Outcome::Ignored);
        }
    }

    /// Whether there is a session in the given phase.
    pub(super) fn is(&self, phase: Phase) -> bool {
        let session = self.state.session.as_ref();
        session.is_some_and(|session| session.phase == phase)
    }

    /// READs of new requests whose objects are closed start the OPEN that they need.
    pub(super) fn reopen_all(&mut self, out: &mut Vec<Outcome>) {
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
