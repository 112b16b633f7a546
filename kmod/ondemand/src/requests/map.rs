// SPDX-License-Identifier: GPL-2.0

//! The memory of the table.

/// An ordered map of entries in memory that the caller provides.
///
/// No call but [`Self::new_node`] allocates or sleeps, and none takes more than
/// logarithmic time.
pub trait Map<K, V>: Default {
    /// Memory for an entry.
    type Node;

    /// Allocates memory for an entry; `None` if there is none. May sleep.
    fn new_node() -> Option<Self::Node>;

    /// Number of entries.
    fn len(&self) -> usize;

    /// Returns whether there are no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`.
    fn get(&self, key: K) -> Option<&V>;

    /// The value of `key`, to change.
    fn get_mut(&mut self, key: K) -> Option<&mut V>;

    /// The entry with the smallest key that is not smaller than `key`.
    fn at_or_after(&self, key: K) -> Option<(K, &V)>;

    /// Adds an entry; one with the same key is replaced.
    fn insert(&mut self, node: Self::Node, key: K, value: V);

    /// Removes an entry, and returns its value.
    fn remove(&mut self, key: K) -> Option<V>;

    /// Removes an entry, drops its value, and returns its memory.
    fn reclaim(&mut self, key: K) -> Option<Self::Node>;
}
