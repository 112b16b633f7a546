// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What an observer who sees every step remembers, and what he finds wrong with a step.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::protocol::{Blob, Body, Event, Kernel, Message, MessageId, Outcome, Value, Want};

use super::step::Step;
use super::world::{Mail, World};

/// What is wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wrong {
    /// A request was completed that was not pending, or stays pending, or went away uncompleted.
    Completion,
    /// An answer to one request ended another.
    Mistaken,
    /// A read succeeded on pages that were never written.
    Unwritten,
    /// There is something to read or the device hung up, and pollers sleep.
    SilentPoll,
    /// A task vanished without an end, or ended and is still there.
    Waiter,
}

/// The memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// Pages that a daemon wrote.
    pub(crate) written: BTreeSet<(Blob, u64)>,
    /// How often each id was given in this session.
    pub(crate) generations: BTreeMap<MessageId, u8>,
    /// OPENs that were answered, for the flaw that brings one back.
    pub(crate) answered: BTreeMap<MessageId, Blob>,
    /// What was wrong with any step so far.
    pub(crate) wrong: BTreeSet<Wrong>,
    /// One completion woke two readers.
    pub(crate) shared: bool,
}

impl Ghost {
    /// Looks at one step.
    pub(crate) fn watch(&mut self, before: &Kernel, after: &Kernel, step: Step, out: &[Outcome]) {
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

    fn completions(&mut self, before: &Kernel, after: &Kernel, out: &[Outcome]) {
        let mut pending = pending(before);
        for outcome in out {
            match outcome {
                Outcome::Queued(id) => {
                    let new = pending.insert(*id);
                    self.accuse(Wrong::Completion, !new);
                    *self.generations.entry(*id).or_default() += 1;
                }
                Outcome::Completed(id, _) => {
                    let was = pending.remove(id);
                    self.accuse(Wrong::Completion, !was);
                }
                _ => {}
            }
        }
        self.accuse(Wrong::Completion, pending != self::pending(after));
    }

    fn replies(&mut self, before: &Kernel, step: Step, out: &[Outcome]) {
        let (object, id) = match step.event {
            Event::Copen(Some(id), _) => (None, id),
            Event::Complete(object, id) | Event::CompleteWithError(object, id, _) => {
                (Some(object), id)
            }
            _ => return,
        };
        let ended = out
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Completed(done, _) if *done == id));
        let session = before.state().session.as_ref();
        let request = session.and_then(|session| session.requests.get(&id).copied());
        if let (true, Some(session), Some(request)) = (ended, session, request) {
            let mail_is_old = step.answers.is_some_and(|mail| {
                self.generations
                    .get(&id)
                    .is_some_and(|now| mail.generation != *now)
            });
            let another = match object {
                None => request.body != Body::Open,
                Some(object) => {
                    !matches!(request.body, Body::Read(_))
                        || session.descriptors.get(&object) != Some(&Some(request.blob))
                }
            };
            self.accuse(Wrong::Mistaken, mail_is_old || another);
        }
    }

    fn reads(&mut self, before: &Kernel, step: Step, out: &[Outcome]) {
        for outcome in out {
            let Outcome::Ended(waiter, Ok(())) = outcome else {
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
            .filter(|outcome| matches!(outcome, Outcome::Woken(_)));
        self.shared |= matches!(step.event, Event::Complete(..)) && woken.count() > 1;
    }

    fn pollers(&mut self, before: &Kernel, after: &Kernel, out: &[Outcome]) {
        let open = |kernel: &Kernel| {
            kernel
                .state()
                .session
                .as_ref()
                .is_some_and(|session| session.device_open)
        };
        let (was, is) = (before.readiness(), after.readiness());
        let news = is.readable && !was.readable || is.hung_up && !was.hung_up;
        let silent = news && !out.contains(&Outcome::PollersWoken);
        self.accuse(Wrong::SilentPoll, silent && open(before) && open(after));
    }

    fn waiters(&mut self, before: &Kernel, after: &Kernel, step: Step, out: &[Outcome]) {
        let mut inside: BTreeSet<_> = before.state().waiters.keys().copied().collect();
        if let Event::Mount(waiter, ..) | Event::Read(waiter, ..) = step.event {
            if !out.contains(&Outcome::Ignored) {
                inside.insert(waiter);
            }
        }
        for outcome in out {
            if let Outcome::Ended(waiter, _) = outcome {
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

impl World {
    /// What the daemon and the tasks know after a step.
    pub(crate) fn keep_books(&mut self, step: Step, out: &[Outcome]) {
        let returned = match out.first() {
            Some(Outcome::Returned(Ok(value))) => Some(*value),
            _ => None,
        };
        match (step.event, returned) {
            (Event::Receive(_), Some(Value::Message(message))) => self.take(message),
            (Event::Write(object, pages), Some(_)) => {
                let session = self.kernel.state().session.as_ref();
                let blob = session.and_then(|session| session.descriptors[&object]);
                let blob = blob.expect("a write to nothing fails");
                self.ghost
                    .written
                    .extend(pages.iter().map(|page| (blob, page)));
            }
            (Event::CloseDescriptor(object), Some(_)) => {
                self.held.remove(&object);
            }
            (Event::Mount(waiter, ..) | Event::Read(waiter, ..), _)
                if !out.contains(&Outcome::Ignored) =>
            {
                self.idle.remove(&waiter);
            }
            _ => {}
        }
        let is_answer = !matches!(step.event, Event::Write(..));
        if let Some(mail) = step.answers.filter(|_| is_answer) {
            self.mail.remove(&mail);
            if self.budget.odd > 0 {
                self.mail.insert(Mail {
                    answered: true,
                    ..mail
                });
            }
        }
        if self.budget.odd == 0 {
            self.mail.retain(|mail| !mail.answered);
        }
        if self.kernel.state().session.is_none() {
            self.mail.clear();
            self.ghost.generations.clear();
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
        let generation = self.ghost.generations.get(&id).copied().unwrap_or(0);
        self.mail.insert(Mail {
            message,
            generation,
            answered: false,
        });
    }
}
