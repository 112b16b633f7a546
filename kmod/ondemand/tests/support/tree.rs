// SPDX-License-Identifier: GPL-2.0

//! An ordered map as the memory of a request table. Shared by all tests that need a
//! table.

use super::Map;
use std::collections::BTreeMap;

/// An ordered map whose nodes take no memory.
#[derive(Debug)]
pub(crate) struct Tree<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Copy + Ord, V> Map<K, V> for Tree<K, V> {
    type Node = ();

    fn new_node() -> Option<()> {
        Some(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: K) -> Option<&V> {
        self.0.get(&key)
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.0.get_mut(&key)
    }

    fn at_or_after(&self, key: K) -> Option<(K, &V)> {
        let entry = self.0.range(key..).next();
        entry.map(|(key, value)| (*key, value))
    }

    fn insert(&mut self, (): (), key: K, value: V) {
        let replaced = self.0.insert(key, value);
        assert!(replaced.is_none(), "a key is in use twice");
    }

    fn remove(&mut self, key: K) -> Option<V> {
        self.0.remove(&key)
    }

    fn reclaim(&mut self, key: K) -> Option<()> {
        self.remove(key).map(drop)
    }
}
