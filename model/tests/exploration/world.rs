// SPDX-License-Identifier: Apache-2.0 OR MIT

//! One state of a small world, and what a world consists of.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::protocol::{
    Blob, Dialect, Event, Kernel, Message, MessageId, Mount, ObjectId, Options, Pages, Reply,
    Waiter,
};

use super::flaw::Flaw;
use super::ghost::Ghost;

/// The size that the daemon gives every blob: two pages.
pub(crate) const SIZE: Reply = Reply::Size(8192);

/// What a task does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// mount(2) needs the blob.
    Mount(Mount, Blob),
    /// A read of some pages, any run of the first two.
    Read(Mount, Blob),
}

/// How often the unusual may happen: this is what keeps a world finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Wrong, failing and repeated acts of the daemon.
    pub(crate) odd: u8,
    /// Deaths of the daemon, and failures of the cache.
    pub(crate) deaths: u8,
    /// Signals, time limits and unmounts.
    pub(crate) aborts: u8,
}

/// A world before its first step.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dialect: Dialect,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) options: Options,
    /// These blobs are mounted by `Mount(0)` when the world begins.
    pub(crate) mounted: Vec<Blob>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) budget: Budget,
}

/// A message that the daemon has read, with the generation of its id: ids may come again, messages may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mail {
    pub(crate) message: Message,
    pub(crate) generation: u8,
    pub(crate) answered: bool,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) kernel: Kernel,
    /// Messages that the daemon may (still) answer.
    pub(crate) mail: BTreeSet<Mail>,
    /// Descriptors that the daemon holds.
    pub(crate) held: BTreeSet<ObjectId>,
    /// Tasks that have not begun.
    pub(crate) idle: BTreeMap<Waiter, Task>,
    pub(crate) budget: Budget,
    pub(crate) ghost: Ghost,
}

impl Setup {
    /// The first state.
    pub(crate) fn world(&self) -> World {
        let numbered = self.tasks.iter().zip(0..);
        let mut world = World {
            kernel: Kernel::new(self.dialect),
            mail: BTreeSet::new(),
            held: BTreeSet::new(),
            idle: numbered
                .map(|(task, number)| (Waiter(number), *task))
                .collect(),
            budget: self.budget,
            ghost: Ghost::default(),
        };
        let kernel = &mut world.kernel;
        kernel.apply(Event::OpenDevice);
        kernel.apply(Event::Bind);
        kernel.apply(Event::EnableExtensions);
        for (blob, number) in self.mounted.iter().zip(0..) {
            kernel.apply(Event::Mount(Waiter(9), Mount(0), *blob, self.options));
            kernel.apply(Event::Receive(None));
            kernel.apply(Event::Copen(Some(MessageId(number)), SIZE));
            world.held.insert(ObjectId(number + 1));
            world.ghost.generations.insert(MessageId(number), 1);
        }
        assert_eq!(kernel.state().objects.len(), self.mounted.len());
        world
    }
}

/// The runs of the first two pages.
pub(crate) fn ranges() -> [Pages; 3] {
    [Pages::new(0, 1), Pages::new(1, 1), Pages::new(0, 2)]
}
