// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Possible steps of a state.

use ondine_model::observation::Errno;
use ondine_model::protocol::{Event, Message, Pages, Phase, Reply, Trouble, Wait, Want};
use stateright::{Model, Property};

use super::property::properties;
use super::test_state::{ranges, DeliveredMessage, Setup, Task, TestState, SIZE};

/// Budget that a step consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    Free,
    Odd,
    Death,
    Abort,
}

/// A possible event and, if it is an answer, the message that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) event: Event,
    pub(crate) answers: Option<DeliveredMessage>,
    pub(crate) price: Price,
}

impl Model for Setup {
    type State = TestState;
    type Action = Transition;

    fn init_states(&self) -> Vec<TestState> {
        vec![self.initial_state()]
    }

    fn actions(&self, test: &TestState, steps: &mut Vec<Transition>) {
        let mut offer = |event, price| {
            steps.push(Transition {
                event,
                answers: None,
                price,
            })
        };
        offer_tasks(self, test, &mut offer);
        offer_device(test, &mut offer);
        for delivered in &test.delivered {
            offer_answers(test, delivered, |event, price| {
                let price = if delivered.answered {
                    Price::Odd
                } else {
                    price
                };
                steps.push(Transition {
                    event,
                    answers: Some(*delivered),
                    price,
                });
            });
        }
        steps.retain(|step| test.can_pay(step.price));
    }

    fn next_state(&self, test: &TestState, step: Transition) -> Option<TestState> {
        let mut next = test.clone();
        next.pay(step.price);
        let before = &test.kernel;
        let mut out = next.kernel.apply(step.event);
        if let Some(flaw) = self.flaw {
            flaw.strike(before, step, &mut next, &mut out);
        }
        next.keep_books(step, &out);
        next.monitor.watch(before, &next.kernel, step, &out);
        (next != *test).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(self)
    }
}

fn offer_tasks(setup: &Setup, test: &TestState, offer: &mut impl FnMut(Event, Price)) {
    for (waiter, task) in &test.idle {
        match *task {
            Task::Mount(mount, blob) => {
                offer(
                    Event::Mount(*waiter, mount, blob, setup.options),
                    Price::Free,
                );
            }
            Task::Read(mount, blob) => {
                for pages in ranges() {
                    offer(Event::Read(*waiter, mount, blob, pages), Price::Free);
                }
            }
        }
    }
    for (waiter, waiting) in &test.kernel.state().waiters {
        if matches!(waiting.wait, Wait::Woken { .. }) {
            offer(Event::Resume(*waiter), Price::Free);
        }
        offer(Event::Kill(*waiter), Price::Abort);
        let limited = matches!(waiting.want, Want::Blob(options) if options.time_limit);
        if setup.options.time_limit || limited {
            offer(Event::Expire(*waiter), Price::Abort);
        }
    }
    for mount in test.kernel.state().mounts.keys() {
        offer(Event::ForceUnmount(*mount), Price::Abort);
    }
}

fn offer_device(test: &TestState, offer: &mut impl FnMut(Event, Price)) {
    let Some(session) = &test.kernel.state().session else {
        return offer(Event::OpenDevice, Price::Free);
    };
    // A daemon that closed the device is dying, so its descriptors can be closed at any time
    // without budget.
    let close = if session.device_open {
        Price::Odd
    } else {
        Price::Free
    };
    for object in &test.held {
        offer(Event::CloseDescriptor(*object), close);
        if session.device_open {
            offer(Event::Write(*object, Pages::new(0, 1)), Price::Odd);
        }
    }
    if !session.device_open {
        return;
    }
    offer(Event::CloseDevice, Price::Death);
    match session.phase {
        Phase::Unbound => offer(Event::Bind, Price::Free),
        Phase::Bound => {
            offer(Event::CacheFails, Price::Death);
            offer(Event::EnableExtensions, Price::Free);
            offer(Event::Receive(None), Price::Free);
            offer(Event::Receive(Some(Trouble::BadBuffer)), Price::Odd);
            let full = Trouble::NoDescriptor(Errno::EMFILE);
            offer(Event::Receive(Some(full)), Price::Odd);
            offer(Event::Restore, Price::Odd);
        }
        Phase::Dead | Phase::Failed => {}
    }
}

fn offer_answers(
    test: &TestState,
    delivered: &DeliveredMessage,
    mut offer: impl FnMut(Event, Price),
) {
    let device = test
        .kernel
        .state()
        .session
        .as_ref()
        .is_some_and(|session| session.device_open);
    match delivered.message {
        Message::Open(id, object, _) => {
            if device {
                offer(Event::Copen(Some(id), SIZE), Price::Free);
                offer(
                    Event::Copen(Some(id), Reply::Error(Errno::ENOENT)),
                    Price::Odd,
                );
            }
            if test.held.contains(&object) {
                offer(Event::Complete(object, id), Price::Odd);
            }
        }
        Message::Read(id, object, pages) => {
            // After a re-open the object has another descriptor.
            for held in &test.held {
                let price = if *held == object {
                    Price::Free
                } else {
                    Price::Odd
                };
                offer(Event::Complete(*held, id), price);
                offer(
                    Event::CompleteWithError(*held, id, Errno::ENODATA),
                    Price::Odd,
                );
                for page in pages.iter() {
                    offer(Event::Write(*held, Pages::new(page, 1)), price);
                }
            }
            if device {
                offer(Event::Copen(Some(id), SIZE), Price::Odd);
            }
        }
        Message::Close(..) => {}
    }
}

impl TestState {
    fn can_pay(&self, price: Price) -> bool {
        match price {
            Price::Free => true,
            Price::Odd => self.budget.odd > 0,
            Price::Death => self.budget.deaths > 0,
            Price::Abort => self.budget.aborts > 0,
        }
    }

    fn pay(&mut self, price: Price) {
        match price {
            Price::Free => {}
            Price::Odd => self.budget.odd -= 1,
            Price::Death => self.budget.deaths -= 1,
            Price::Abort => self.budget.aborts -= 1,
        }
    }
}
