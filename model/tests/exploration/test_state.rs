// SPDX-License-Identifier: Apache-2.0 OR MIT

//! State of a small configuration, and its parts.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::protocol::{
    Blob, Dialect, Event, Kernel, Message, MessageId, Mount, ObjectId, Options, Pages, Reply,
    Waiter,
};

use super::flaw::Flaw;
use super::monitor::Monitor;

/// Size of every blob as answered by the daemon: two pages.
pub(crate) const SIZE: Reply = Reply::Size(8192);

/// Operation of a task, performed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// mount(2) that acquires the blob.
    Mount(Mount, Blob),
    /// Read of any run of the first two pages.
    Read(Mount, Blob),
}

/// Number of unusual events, which keeps the state space finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Wrong, failing and repeated actions of the daemon.
    pub(crate) odd: u8,
    /// Deaths of the daemon and failures of the cache.
    pub(crate) deaths: u8,
    /// Signals, time limits and unmounts.
    pub(crate) aborts: u8,
}

/// Initial configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dialect: Dialect,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) options: Options,
    /// Blobs already mounted by `Mount(0)` in the initial state.
    pub(crate) mounted: Vec<Blob>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) budget: Budget,
}

/// A message read by the daemon. The generation of its id distinguishes messages, because ids are
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeliveredMessage {
    pub(crate) message: Message,
    pub(crate) generation: u8,
    pub(crate) answered: bool,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TestState {
    pub(crate) kernel: Kernel,
    /// Messages that the daemon can answer, possibly again.
    pub(crate) delivered: BTreeSet<DeliveredMessage>,
    /// Descriptors that the daemon holds.
    pub(crate) held: BTreeSet<ObjectId>,
    /// Tasks not yet started.
    pub(crate) idle: BTreeMap<Waiter, Task>,
    pub(crate) budget: Budget,
    pub(crate) monitor: Monitor,
}

impl Setup {
    /// Initial state.
    pub(crate) fn initial_state(&self) -> TestState {
        let numbered = self.tasks.iter().zip(0..);
        let mut test = TestState {
            kernel: Kernel::new(self.dialect),
            delivered: BTreeSet::new(),
            held: BTreeSet::new(),
            idle: numbered
                .map(|(task, number)| (Waiter(number), *task))
                .collect(),
            budget: self.budget,
            monitor: Monitor::default(),
        };
        let kernel = &mut test.kernel;
        kernel.apply(Event::OpenDevice);
        kernel.apply(Event::Bind);
        kernel.apply(Event::EnableExtensions);
        for (blob, number) in self.mounted.iter().zip(0..) {
            kernel.apply(Event::Mount(Waiter(9), Mount(0), *blob, self.options));
            kernel.apply(Event::Receive(None));
            kernel.apply(Event::Copen(Some(MessageId(number)), SIZE));
            test.held.insert(ObjectId(number + 1));
            test.monitor.generations.insert(MessageId(number), 1);
        }
        assert_eq!(kernel.state().objects.len(), self.mounted.len());
        test
    }
}

/// All runs of the first two pages.
pub(crate) fn ranges() -> [Pages; 3] {
    [Pages::new(0, 1), Pages::new(1, 1), Pages::new(0, 2)]
}
