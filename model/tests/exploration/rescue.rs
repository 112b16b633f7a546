// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Ways out: from every reachable state, each of these must end what waits.

use ondine_model::protocol::{
    Event, Kernel, Message, ObjectId, Outcome, Phase, Value, Wait, Waiter,
};

use super::world::{World, SIZE};

/// The kernel as it would be, and who is inside it.
struct Future {
    kernel: Kernel,
}

impl Future {
    fn of(world: &World) -> Self {
        let mut future = Self {
            kernel: world.kernel.clone(),
        };
        future.kernel.settle();
        future
    }

    fn apply(&mut self, event: Event) -> Vec<Outcome> {
        let out = self.kernel.apply(event);
        self.kernel.settle();
        out
    }

    fn waiters(&self) -> Vec<Waiter> {
        self.kernel.state().waiters.keys().copied().collect()
    }

    fn close_descriptors(&mut self) {
        let session = self.kernel.state().session.iter();
        let open: Vec<ObjectId> = session
            .flat_map(|session| session.descriptors.keys().copied())
            .collect();
        for object in open {
            self.apply(Event::CloseDescriptor(object));
        }
    }

    /// A daemon that does everything right, until read(2) returns nothing twice: C says nothing once in between.
    fn serve(&mut self) {
        let mut nothing = 0;
        for _ in 0..100 {
            let out = self.apply(Event::Receive(None));
            match out.first() {
                Some(Outcome::Returned(Ok(Value::Message(message)))) => self.answer(*message),
                Some(Outcome::Returned(Ok(Value::Nothing))) => nothing += 1,
                Some(Outcome::Returned(Err(_))) => {}
                other => panic!("read(2) gives {other:?}"),
            }
            if nothing == 2 {
                return;
            }
        }
        panic!("a good daemon never comes to rest");
    }

    fn answer(&mut self, message: Message) {
        match message {
            Message::Open(id, ..) => {
                self.apply(Event::Copen(Some(id), SIZE));
            }
            Message::Read(id, object, pages) => {
                self.apply(Event::Write(object, pages));
                self.apply(Event::Complete(object, id));
            }
            Message::Close(..) => {}
        }
    }
}

/// A fatal signal ends any task.
pub(crate) fn signals_end_all(world: &World) -> bool {
    world.kernel.state().waiters.keys().all(|waiter| {
        let mut kernel = world.kernel.clone();
        kernel.apply(Event::Kill(*waiter));
        kernel.settle();
        !kernel.state().waiters.contains_key(waiter)
    })
}

/// Closing everything ends all tasks, except the readers of mounts that chose to wait for a new session.
pub(crate) fn closing_ends_all(world: &World) -> bool {
    let mut future = Future::of(world);
    future.apply(Event::CloseDevice);
    future.close_descriptors();
    let state = future.kernel.state();
    let chose = |waiter: &Waiter| {
        let waiting = state.waiters[waiter];
        let mount = state.mounts.get(&waiting.mount);
        let may = mount.is_some_and(|mounted| mounted.options.wait_for_session);
        may && waiting.wait == Wait::Session
    };
    state.session.is_none() && future.waiters().iter().all(chose)
}

/// A good daemon ends all tasks: with the same device if it is in service, with a new session if it is not.
pub(crate) fn a_good_daemon_ends_all(world: &World) -> bool {
    let mut future = Future::of(world);
    let session = future.kernel.state().session.as_ref();
    let device = session.is_some_and(|session| session.device_open);
    let bound = session.is_some_and(|session| session.phase == Phase::Bound);
    if device && bound {
        future.close_descriptors();
        future.apply(Event::Restore);
    } else {
        future.apply(Event::CloseDevice);
        future.close_descriptors();
        future.apply(Event::OpenDevice);
        future.apply(Event::Bind);
    }
    future.serve();
    future.waiters().is_empty()
}

/// umount2(MNT_FORCE) ends all tasks of a mount.
pub(crate) fn forced_unmount_ends_all(world: &World) -> bool {
    let mut future = Future::of(world);
    let mounts: Vec<_> = future.kernel.state().mounts.keys().copied().collect();
    for mount in &mounts {
        future.apply(Event::ForceUnmount(*mount));
    }
    let state = future.kernel.state();
    state
        .waiters
        .values()
        .all(|waiting| !mounts.contains(&waiting.mount))
}

/// What poll(2) says is what read(2) does.
pub(crate) fn poll_tells_the_truth(world: &World) -> bool {
    let Some(session) = &world.kernel.state().session else {
        return true;
    };
    let dead = matches!(session.phase, Phase::Dead | Phase::Failed);
    let mut kernel = world.kernel.clone();
    let out = kernel.apply(Event::Receive(None));
    let nothing = match out.first() {
        Some(Outcome::Returned(returned)) => *returned == Ok(Value::Nothing),
        _ => true,
    };
    let says = world.kernel.readiness();
    says.readable != nothing && says.hung_up == dead
}
