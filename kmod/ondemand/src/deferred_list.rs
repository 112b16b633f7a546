// SPDX-License-Identifier: GPL-2.0

//! The list of an object's deferred reads, by what they wait for.

use crate::{
    requests::{Config, Map},
    run::Run,
};

/// The event that a deferred read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// Its turn: it is runnable.
    Worker,
    /// The end of the pending READ of the object with this first page. Pending READs of
    /// an object do not overlap.
    Read(u64),
    /// The end of the pending OPEN of the object.
    Open,
    /// A session.
    Session,
}

impl WaitFor {
    /// The end of the request for `run`; an OPEN has none.
    pub fn end_of(run: Run) -> Self {
        if run == Run::EMPTY {
            Self::Open
        } else {
            Self::Read(run.first)
        }
    }
}

/// Reads by what they wait for, and by a number that is used once.
type Reads<C, R> = <C as Config>::Map<(WaitFor, u64), Option<R>>;

/// Memory for a read in the list.
pub struct DeferredMemory<C: Config, R>(<Reads<C, R> as Map<(WaitFor, u64), Option<R>>>::Node);

impl<C: Config, R> DeferredMemory<C, R> {
    /// Allocates the memory; `None` if there is none. May sleep.
    pub fn new() -> Option<Self> {
        <Reads<C, R> as Map<(WaitFor, u64), Option<R>>>::new_node().map(Self)
    }
}

/// The deferred reads of an object, except one that the worker has in its hands.
pub struct DeferredList<C: Config, R> {
    reads: Reads<C, R>,
    next: u64,
}

impl<C: Config, R> Default for DeferredList<C, R> {
    fn default() -> Self {
        Self {
            reads: Default::default(),
            next: 0,
        }
    }
}

impl<C: Config, R> DeferredList<C, R> {
    /// Adds a read that waits for `wait_for`.
    pub fn push(&mut self, memory: DeferredMemory<C, R>, wait_for: WaitFor, read: R) {
        self.reads
            .insert(memory.0, (wait_for, self.next), Some(read));
        self.next = self.next.wrapping_add(1);
    }

    /// Takes the runnable read that has waited longest.
    pub fn take(&mut self) -> Option<(DeferredMemory<C, R>, R)> {
        let (key, _) = self.reads.at_or_after((WaitFor::Worker, 0))?;
        if key.0 != WaitFor::Worker {
            return None;
        }
        self.remove(key)
    }

    /// Makes the reads runnable that wait for `wait_for`. Returns whether there are any.
    pub fn release(&mut self, wait_for: WaitFor) -> bool {
        let mut any = false;
        while let Some((key, _)) = self.reads.at_or_after((wait_for, 0)) {
            if key.0 != wait_for || key.0 == WaitFor::Worker {
                break;
            }
            any = true;
            self.make_runnable(key);
        }
        any
    }

    /// Makes all reads runnable.
    pub fn release_all(&mut self) {
        while let Some((key, _)) = self.reads.at_or_after((WaitFor::Read(0), 0)) {
            self.make_runnable(key);
        }
    }

    /// Calls `look` for each read with what it waits for, and with a number that
    /// tells the order in which the worker takes them once they are runnable.
    pub fn for_each(&self, mut look: impl FnMut(WaitFor, u64, &R)) {
        let mut from = (WaitFor::Worker, 0);
        while let Some((key, read)) = self.reads.at_or_after(from) {
            if let Some(read) = read {
                look(key.0, key.1, read);
            }
            from = (key.0, key.1.saturating_add(1));
        }
    }

    fn make_runnable(&mut self, key: (WaitFor, u64)) {
        if let Some((memory, read)) = self.remove(key) {
            self.reads
                .insert(memory.0, (WaitFor::Worker, key.1), Some(read));
        }
    }

    fn remove(&mut self, key: (WaitFor, u64)) -> Option<(DeferredMemory<C, R>, R)> {
        let read = self.reads.get_mut(key).and_then(Option::take);
        let memory = self.reads.reclaim(key);
        Some((DeferredMemory(memory?), read?))
    }
}
