// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Deliberate flaws of the machine: a step is executed correctly and then modified. Each property
//! must be violated by some flaw.

use ondine_model::protocol::{
    Blob, Body, Event, EventOutcome, Kernel, MessageId, ObjectState, Request, State, Wait, Waiter,
    Want,
};

use super::test_state::TestState;
use super::transition::Transition;

/// A flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// READ_COMPLETE completes the request but leaves it in the table (CVE-2024-40900).
    CompleteWithoutRemove,
    /// The lowest free id is allocated (CVE-2024-41050).
    ReuseIds,
    /// Death does not flush the table (CVE-2024-40935).
    ForgetFlush,
    /// `restore` queues an OPEN that was already answered.
    RestoreAnswered,
    /// READ_COMPLETE makes pages present that were not written.
    CompleteMakesPresent,
    /// Closing a descriptor leaves it in the kernel's state.
    KeepDescriptor,
    /// A completion wakes only one of several readers.
    WakeOne,
    /// A new request does not wake pollers.
    SilentEnqueue,
    /// READ_COMPLETE does not check the request's object (CVE-2024-41075).
    AnyObject,
    /// Readers queue READs for pages that are already pending.
    NoMerging,
    /// A killed task ends but stays among the waiters.
    KilledStays,
    /// A failed re-OPEN leaves the object re-opening with no pending request (CVE-2024-41074).
    StuckReopening,
}

impl Flaw {
    /// Modifies the result of a correct step.
    pub(crate) fn strike(
        self,
        before: &Kernel,
        step: Transition,
        test: &mut TestState,
        out: &mut Vec<EventOutcome>,
    ) {
        let before = before.state();
        let mut state = test.kernel.state().clone();
        match (self, step.event) {
            (Flaw::CompleteWithoutRemove, Event::Complete(_, id)) if completed(out, id) => {
                put_back(before, &mut state, id);
            }
            (Flaw::ReuseIds, _) => {
                state
                    .session
                    .iter_mut()
                    .for_each(|session| session.next_message = 0);
            }
            (Flaw::ForgetFlush, Event::CloseDevice | Event::CacheFails) => {
                forget_flush(before, &mut state, out);
            }
            (Flaw::RestoreAnswered, Event::Copen(Some(id), _)) if completed(out, id) => {
                test.monitor.answered.insert(id, request(before, id).blob);
            }
            (Flaw::RestoreAnswered, Event::Restore) => {
                for (id, blob) in &test.monitor.answered {
                    restore_answered(*id, *blob, &mut state);
                }
            }
            (Flaw::CompleteMakesPresent, Event::Complete(_, id)) if completed(out, id) => {
                let Request { blob, body, .. } = request(before, id);
                if let Body::Read(pages) = body {
                    state
                        .files
                        .entry(blob)
                        .or_default()
                        .present
                        .extend(pages.iter());
                }
            }
            (Flaw::KeepDescriptor, Event::CloseDescriptor(object)) => {
                if let Some(session) = &mut state.session {
                    session.descriptors.insert(object, None);
                }
            }
            (Flaw::WakeOne, _) => wake_one(before, &mut state, out),
            (Flaw::SilentEnqueue, Event::Read(..)) => {
                out.retain(|outcome| *outcome != EventOutcome::PollersWoken);
            }
            (Flaw::AnyObject, Event::Complete(_, id)) => any_object(id, test, &mut state, out),
            (Flaw::NoMerging, Event::Read(waiter, ..)) => ask_again(waiter, &mut state, out),
            (Flaw::KilledStays, Event::Kill(waiter)) => {
                state.waiters.insert(waiter, before.waiters[&waiter]);
            }
            (Flaw::StuckReopening, _) => stay_reopening(before, &mut state, out),
            _ => {}
        }
        test.kernel = test.kernel.clone().with_state(state);
    }
}

fn completed(out: &[EventOutcome], id: MessageId) -> bool {
    out.iter()
        .any(|outcome| matches!(outcome, EventOutcome::Completed(done, _) if *done == id))
}

fn request(state: &State, id: MessageId) -> Request {
    let session = state.session.as_ref();
    session.expect("a request was completed").requests[&id]
}

fn put_back(before: &State, state: &mut State, id: MessageId) {
    if let Some(session) = &mut state.session {
        session.requests.insert(id, request(before, id));
    }
}

fn forget_flush(before: &State, state: &mut State, out: &mut Vec<EventOutcome>) {
    let requests = before
        .session
        .iter()
        .flat_map(|session| session.requests.keys());
    for id in requests {
        put_back(before, state, *id);
    }
    state.waiters = before.waiters.clone();
    state.objects = before.objects.clone();
    out.retain(|outcome| {
        matches!(
            outcome,
            EventOutcome::Returned(_) | EventOutcome::PollersWoken
        )
    });
}

fn restore_answered(id: MessageId, blob: Blob, state: &mut State) {
    let open = state
        .objects
        .get(&blob)
        .is_some_and(|object| object.state == ObjectState::Open);
    if let (true, Some(session)) = (open, &mut state.session) {
        session.requests.insert(
            id,
            Request {
                blob,
                mount: None,
                body: Body::Open,
                new: true,
                known: true,
            },
        );
    }
}

fn wake_one(before: &State, state: &mut State, out: &[EventOutcome]) {
    let woken = out.iter().filter_map(|outcome| match outcome {
        EventOutcome::Woken(waiter) => Some(*waiter),
        _ => None,
    });
    for waiter in woken.skip(1) {
        let waiting = before.waiters[&waiter];
        if matches!(waiting.wait, Wait::Read(..)) {
            state.waiters.insert(waiter, waiting);
        }
    }
}

fn ask_again(waiter: Waiter, state: &mut State, out: &mut Vec<EventOutcome>) {
    let queued = out
        .iter()
        .any(|outcome| matches!(outcome, EventOutcome::Queued(_)));
    let waiting = state.waiters.get(&waiter).filter(|_| !queued);
    if let (Some(waiting), Some(session)) = (waiting, &mut state.session) {
        if let (Want::Pages(pages), Wait::Read(..)) = (waiting.want, waiting.wait) {
            let id = MessageId(session.next_message);
            session.next_message += 1;
            let body = Body::Read(pages);
            session.requests.insert(
                id,
                Request {
                    blob: waiting.blob,
                    mount: Some(waiting.mount),
                    body,
                    new: true,
                    known: false,
                },
            );
            out.extend([EventOutcome::Queued(id), EventOutcome::PollersWoken]);
        }
    }
}

fn any_object(id: MessageId, test: &TestState, state: &mut State, out: &mut Vec<EventOutcome>) {
    let session = state.session.as_ref();
    let Some(request) = session.and_then(|session| session.requests.get(&id)) else {
        return;
    };
    let mut descriptors = session.iter().flat_map(|session| &session.descriptors);
    let owner = descriptors.find(|(_, blob)| **blob == Some(request.blob));
    if let Some((object, _)) = owner {
        let mut kernel = test.kernel.clone();
        *out = kernel.apply(Event::Complete(*object, id));
        *state = kernel.state().clone();
    }
}

fn stay_reopening(before: &State, state: &mut State, out: &mut Vec<EventOutcome>) {
    for (blob, object) in &mut state.objects {
        let was = before.objects.get(blob).map(|object| object.state);
        let Some(session) = &mut state.session else {
            return;
        };
        let requests = session.requests.iter();
        let mut new_open = requests.filter(|(id, request)| {
            let queued = out.contains(&EventOutcome::Queued(**id));
            queued && request.blob == *blob && request.body == Body::Open
        });
        let new_open = new_open.next().map(|(id, _)| *id);
        if let (Some(id), Some(ObjectState::Reopening)) = (new_open, was) {
            session.requests.remove(&id);
            out.retain(|outcome| *outcome != EventOutcome::Queued(id));
            object.state = ObjectState::Reopening;
        }
    }
}
