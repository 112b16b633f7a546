// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Monitor: auxiliary state that observes every step, and the violations that it detects.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::protocol::{
    Blob, Body, Event, EventOutcome, Kernel, Message, MessageId, Value, Want,
};

use super::test_state::{DeliveredMessage, TestState};
use super::transition::Transition;

/// A violation in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wrong {
    /// A request was completed without being pending, stayed pending after completion, or was
    /// removed without completion.
    Completion,
    /// An answer to one request completed another.
    Mistaken,
    /// A read of pages never written succeeded.
    Unwritten,
    /// The device became readable or hung up without waking pollers.
    SilentPoll,
    /// A task disappeared without ending, or ended and is still present.
    Waiter,
}

/// Auxiliary state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Monitor {
    /// Pages written by a daemon.
    pub(crate) written: BTreeSet<(Blob, u64)>,
    /// Number of times each id was allocated in this session.
    pub(crate) generations: BTreeMap<MessageId, u8>,
    /// OPENs that were answered, for the flaw that queues one again.
    pub(crate) answered: BTreeMap<MessageId, Blob>,
    /// Violations so far.
    pub(crate) wrong: BTreeSet<Wrong>,
    /// Set when one completion woke two readers.
    pub(crate) shared: bool,
}

impl Monitor {
    /// Observes one step.
    pub(crate) fn watch(
        &mut self,
        before: &Kernel,
        after: &Kernel,
        step: Transition,
        out: &[EventOutcome],
    ) {
        self.completions(before, after, out);
        self.replies(before, step, out);
        self.reads(before, step, out);
        self.pollers(before, after, out);
        self.waiters(before, after, step, out);
    }

    fn accuse(&mut self, wrong: Wrong, is: bool) {
        if is {
            self.wrong.insert(wrong);
        }
    }

    fn completions(&mut self, before: &Kernel, after: &Kernel, out: &[EventOutcome]) {
        let mut pending = pending(before);
        for outcome in out {
            match outcome {
                EventOutcome::Queued(id) => {
                    let new = pending.insert(*id);
                    self.accuse(Wrong::Completion, !new);
                    *self.generations.entry(*id).or_default() += 1;
                }
                EventOutcome::Completed(id, _) => {
                    let was = pending.remove(id);
                    self.accuse(Wrong::Completion, !was);
                }
                _ => {}
            }
        }
        self.accuse(Wrong::Completion, pending != self::pending(after));
    }

    fn replies(&mut self, before: &Kernel, step: Transition, out: &[EventOutcome]) {
        let (object, id) = match step.event {
            Event::Copen(Some(id), _) => (None, id),
            Event::Complete(object, id) | Event::CompleteWithError(object, id, _) => {
                (Some(object), id)
            }
            _ => return,
        };
        let ended = out
            .iter()
            .any(|outcome| matches!(outcome, EventOutcome::Completed(done, _) if *done == id));
        let session = before.state().session.as_ref();
        let request = session.and_then(|session| session.requests.get(&id).copied());
        if let (true, Some(session), Some(request)) = (ended, session, request) {
            let message_is_old = step.answers.is_some_and(|delivered| {
                self.generations
                    .get(&id)
                    .is_some_and(|now| delivered.generation != *now)
            });
            let another = match object {
                None => request.body != Body::Open,
                Some(object) => {
                    !matches!(request.body, Body::Read(_))
                        || session.descriptors.get(&object) != Some(&Some(request.blob))
                }
            };
            self.accuse(Wrong::Mistaken, message_is_old || another);
        }
    }

    fn reads(&mut self, before: &Kernel, step: Transition, out: &[EventOutcome]) {
        for outcome in out {
            let EventOutcome::Ended(waiter, Ok(())) = outcome else {
                continue;
            };
            let read = match (step.event, before.state().waiters.get(waiter)) {
                (Event::Read(_, _, blob, pages), _) => Some((blob, pages)),
                (_, Some(waiting)) => match waiting.want {
                    Want::Pages(pages) => Some((waiting.blob, pages)),
                    Want::Blob(_) => None,
                },
                _ => None,
            };
            if let Some((blob, pages)) = read {
                let written = pages
                    .iter()
                    .all(|page| self.written.contains(&(blob, page)));
                self.accuse(Wrong::Unwritten, !written);
            }
        }
        let woken = out
            .iter()
            .filter(|outcome| matches!(outcome, EventOutcome::Woken(_)));
        self.shared |= matches!(step.event, Event::Complete(..)) && woken.count() > 1;
    }

    fn pollers(&mut self, before: &Kernel, after: &Kernel, out: &[EventOutcome]) {
        let open = |kernel: &Kernel| {
            kernel
                .state()
                .session
                .as_ref()
                .is_some_and(|session| session.device_open)
        };
        let (was, is) = (before.readiness(), after.readiness());
        let news = is.readable && !was.readable || is.hung_up && !was.hung_up;
        let silent = news && !out.contains(&EventOutcome::PollersWoken);
        self.accuse(Wrong::SilentPoll, silent && open(before) && open(after));
    }

    fn waiters(&mut self, before: &Kernel, after: &Kernel, step: Transition, out: &[EventOutcome]) {
        let mut inside: BTreeSet<_> = before.state().waiters.keys().copied().collect();
        if let Event::Mount(waiter, ..) | Event::Read(waiter, ..) = step.event {
            if !out.contains(&EventOutcome::Ignored) {
                inside.insert(waiter);
            }
        }
        for outcome in out {
            if let EventOutcome::Ended(waiter, _) = outcome {
                let was = inside.remove(waiter);
                self.accuse(Wrong::Waiter, !was);
            }
        }
        let now = after.state().waiters.keys().copied().collect();
        self.accuse(Wrong::Waiter, inside != now);
    }
}

fn pending(kernel: &Kernel) -> BTreeSet<MessageId> {
    let session = kernel.state().session.iter();
    session
        .flat_map(|session| session.requests.keys().copied())
        .collect()
}

impl TestState {
    /// Records the knowledge of the daemon and the tasks after a step.
    pub(crate) fn keep_books(&mut self, step: Transition, out: &[EventOutcome]) {
        let returned = match out.first() {
            Some(EventOutcome::Returned(Ok(value))) => Some(*value),
            _ => None,
        };
        match (step.event, returned) {
            (Event::Receive(_), Some(Value::Message(message))) => self.take(message),
            (Event::Write(object, pages), Some(_)) => {
                let session = self.kernel.state().session.as_ref();
                let blob = session.and_then(|session| session.descriptors[&object]);
                let blob = blob.expect("a write to nothing fails");
                self.monitor
                    .written
                    .extend(pages.iter().map(|page| (blob, page)));
            }
            (Event::CloseDescriptor(object), Some(_)) => {
                self.held.remove(&object);
            }
            (Event::Mount(waiter, ..) | Event::Read(waiter, ..), _)
                if !out.contains(&EventOutcome::Ignored) =>
            {
                self.idle.remove(&waiter);
            }
            _ => {}
        }
        let is_answer = !matches!(step.event, Event::Write(..));
        if let Some(delivered) = step.answers.filter(|_| is_answer) {
            self.delivered.remove(&delivered);
            if self.budget.odd > 0 {
                self.delivered.insert(DeliveredMessage {
                    answered: true,
                    ..delivered
                });
            }
        }
        if self.budget.odd == 0 {
            self.delivered.retain(|delivered| !delivered.answered);
        }
        if self.kernel.state().session.is_none() {
            self.delivered.clear();
            self.monitor.generations.clear();
        }
    }

    fn take(&mut self, message: Message) {
        let id = match message {
            Message::Open(id, object, _) => {
                self.held.insert(object);
                id
            }
            Message::Read(id, ..) => id,
            Message::Close(..) => return,
        };
        let generation = self.monitor.generations.get(&id).copied().unwrap_or(0);
        self.delivered.insert(DeliveredMessage {
            message,
            generation,
            answered: false,
        });
    }
}
