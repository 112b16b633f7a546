// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Ways out: from every reachable state, each of these must end all waits.

use ondine_model::protocol::{
    Event, EventOutcome, Kernel, Message, ObjectId, Phase, Value, Wait, Waiter,
};

use super::test_state::{TestState, SIZE};

/// A copy of the kernel and the tasks inside it.
struct Future {
    kernel: Kernel,
}

impl Future {
    fn of(test: &TestState) -> Self {
        let mut future = Self {
            kernel: test.kernel.clone(),
        };
        future.kernel.settle();
        future
    }

    fn apply(&mut self, event: Event) -> Vec<EventOutcome> {
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

    /// Runs a correct daemon until read(2) returns nothing twice in a row: C returns nothing once
    /// in between.
    fn serve(&mut self) {
        let mut nothing = 0;
        for _ in 0..100 {
            let out = self.apply(Event::Receive(None));
            match out.first() {
                Some(EventOutcome::Returned(Ok(Value::Message(message)))) => self.answer(*message),
                Some(EventOutcome::Returned(Ok(Value::Nothing))) => nothing += 1,
                Some(EventOutcome::Returned(Err(_))) => {}
                other => panic!("read(2) gives {other:?}"),
            }
            if nothing == 2 {
                return;
            }
        }
        panic!("a correct daemon never becomes idle");
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

/// True if a fatal signal ends any task.
pub(crate) fn signals_end_all(test: &TestState) -> bool {
    test.kernel.state().waiters.keys().all(|waiter| {
        let mut kernel = test.kernel.clone();
        kernel.apply(Event::Kill(*waiter));
        kernel.settle();
        !kernel.state().waiters.contains_key(waiter)
    })
}

/// True if closing everything ends all tasks, except readers of mounts that wait for a new session.
pub(crate) fn closing_ends_all(test: &TestState) -> bool {
    let mut future = Future::of(test);
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

/// True if a correct daemon ends all tasks, with the same device if it is in service, otherwise
/// with a new session.
pub(crate) fn a_good_daemon_ends_all(test: &TestState) -> bool {
    let mut future = Future::of(test);
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

/// True if umount2(MNT_FORCE) ends all tasks of a mount.
pub(crate) fn forced_unmount_ends_all(test: &TestState) -> bool {
    let mut future = Future::of(test);
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

/// True if poll(2) reports what read(2) does.
pub(crate) fn poll_tells_the_truth(test: &TestState) -> bool {
    let Some(session) = &test.kernel.state().session else {
        return true;
    };
    let dead = matches!(session.phase, Phase::Dead | Phase::Failed);
    let mut kernel = test.kernel.clone();
    let out = kernel.apply(Event::Receive(None));
    let nothing = match out.first() {
        Some(EventOutcome::Returned(returned)) => *returned == Ok(Value::Nothing),
        _ => true,
    };
    let says = test.kernel.readiness();
    says.readable != nothing && says.hung_up == dead
}
