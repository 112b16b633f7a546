// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What can happen next in a world.

use ondine_model::observation::Errno;
use ondine_model::protocol::{Event, Message, Pages, Phase, Reply, Trouble, Wait, Want};
use stateright::{Model, Property};

use super::property::properties;
use super::world::{ranges, Mail, Setup, Task, World, SIZE};

/// What a step takes from the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    Free,
    Odd,
    Death,
    Abort,
}

/// Something that may happen, and the message that it answers if it is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) event: Event,
    pub(crate) answers: Option<Mail>,
    pub(crate) price: Price,
}

impl Model for Setup {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.world()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let mut offer = |event, price| {
            steps.push(Step {
                event,
                answers: None,
                price,
            })
        };
        offer_tasks(self, world, &mut offer);
        offer_device(world, &mut offer);
        for mail in &world.mail {
            offer_answers(world, mail, |event, price| {
                let price = if mail.answered { Price::Odd } else { price };
                steps.push(Step {
                    event,
                    answers: Some(*mail),
                    price,
                });
            });
        }
        steps.retain(|step| world.can_pay(step.price));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.pay(step.price);
        let before = &world.kernel;
        let mut out = next.kernel.apply(step.event);
        if let Some(flaw) = self.flaw {
            flaw.strike(before, step, &mut next, &mut out);
        }
        next.keep_books(step, &out);
        next.ghost.watch(before, &next.kernel, step, &out);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(self)
    }
}

fn offer_tasks(setup: &Setup, world: &World, offer: &mut impl FnMut(Event, Price)) {
    for (waiter, task) in &world.idle {
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
    for (waiter, waiting) in &world.kernel.state().waiters {
        if matches!(waiting.wait, Wait::Woken { .. }) {
            offer(Event::Resume(*waiter), Price::Free);
        }
        offer(Event::Kill(*waiter), Price::Abort);
        let limited = matches!(waiting.want, Want::Blob(options) if options.time_limit);
        if setup.options.time_limit || limited {
            offer(Event::Expire(*waiter), Price::Abort);
        }
    }
    for mount in world.kernel.state().mounts.keys() {
        offer(Event::ForceUnmount(*mount), Price::Abort);
    }
}

fn offer_device(world: &World, offer: &mut impl FnMut(Event, Price)) {
    let Some(session) = &world.kernel.state().session else {
        return offer(Event::OpenDevice, Price::Free);
    };
    // A daemon that closed the device is dying: its descriptors go without being asked.
    let close = if session.device_open {
        Price::Odd
    } else {
        Price::Free
    };
    for object in &world.held {
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

fn offer_answers(world: &World, mail: &Mail, mut offer: impl FnMut(Event, Price)) {
    let device = world
        .kernel
        .state()
        .session
        .as_ref()
        .is_some_and(|session| session.device_open);
    match mail.message {
        Message::Open(id, object, _) => {
            if device {
                offer(Event::Copen(Some(id), SIZE), Price::Free);
                offer(
                    Event::Copen(Some(id), Reply::Error(Errno::ENOENT)),
                    Price::Odd,
                );
            }
            if world.held.contains(&object) {
                offer(Event::Complete(object, id), Price::Odd);
            }
        }
        Message::Read(id, object, pages) => {
            // After a re-open the object's descriptor is another one.
            for held in &world.held {
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

impl World {
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
