// SPDX-License-Identifier: GPL-2.0

//! The cost of a request, in calls of the maps, whatever the number of others.

use crate::tree::Tree;
use ondine_ondemand::{
    requests::{Config, Lane, Map, ObjectMemory, ReadMemory, Table},
    Run,
};
use std::{cell::Cell, rc::Rc};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// A map that counts its calls.
struct Counted<K, V>(Tree<K, V>);

fn count() {
    CALLS.set(CALLS.get() + 1);
}

impl<K, V> Default for Counted<K, V> {
    fn default() -> Self {
        Self(Tree::default())
    }
}

impl<K: Copy + Ord, V> Map<K, V> for Counted<K, V> {
    type Node = ();

    fn new_node() -> Option<()> {
        Some(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: K) -> Option<&V> {
        count();
        self.0.get(key)
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        count();
        self.0.get_mut(key)
    }

    fn at_or_after(&self, key: K) -> Option<(K, &V)> {
        count();
        self.0.at_or_after(key)
    }

    fn insert(&mut self, node: (), key: K, value: V) {
        count();
        self.0.insert(node, key, value);
    }

    fn remove(&mut self, key: K) -> Option<V> {
        count();
        self.0.remove(key)
    }

    fn reclaim(&mut self, key: K) -> Option<()> {
        count();
        self.0.reclaim(key)
    }
}

struct Numbers;

impl Config for Numbers {
    type Completion = u32;
    type Object = u64;
    type Lane = Rc<Lane>;
    type Map<K: Copy + Ord, V> = Counted<K, V>;
}

/// Calls for a request of each kind of step, with this many READs outstanding.
fn calls(outstanding: u64) -> u64 {
    let mut table = Table::<Numbers>::new();
    table.start();
    let lane = Rc::new(Lane::new(1));
    table.add_object(1, 1, ObjectMemory::new().unwrap());
    table.open(1, 0).unwrap();
    let opening = table.peek().unwrap().sequence;
    table.begin_open(opening);
    table.finish_open(opening).unwrap();
    table.answer_open(opening, Ok(()), |_, _| {});
    let page = |page| Run {
        first: 2 * page,
        count: 1,
    };
    for n in 0..outstanding {
        let memory = ReadMemory::new().unwrap();
        table.read(1, &lane, page(n), 0, memory).unwrap();
    }
    CALLS.set(0);
    let next = page(outstanding);
    assert!(table.uncovered(1, next).is_some());
    let memory = ReadMemory::new().unwrap();
    table.read(1, &lane, next, 7, memory).unwrap();
    assert_eq!(table.join(1, next.first), Some(7));
    let pending = table.peek().unwrap();
    assert!(table.is_readable());
    table.deliver(pending.sequence);
    table.answer_read(pending.id(), 1).unwrap();
    CALLS.get()
}

#[test]
fn a_request_costs_the_same_among_many() {
    let few = calls(10);
    assert!(few < 50, "{few} calls");
    assert_eq!(calls(10_000), few);
}
