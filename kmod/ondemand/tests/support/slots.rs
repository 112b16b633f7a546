// SPDX-License-Identifier: GPL-2.0

//! A vector as the memory of a request table, with room for as many items as the
//! test allows. Shared by all tests that need a table.

use super::Store;

/// A vector of at most `limit` items.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    items: Vec<T>,
    /// The most items that fit.
    pub(crate) limit: usize,
}

impl<T> Slots<T> {
    /// No items, and room for `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            items: Vec::new(),
            limit,
        }
    }

    /// Makes room for at least `more` further items.
    #[allow(dead_code)] // Not every test reserves.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.limit = self.limit.max(self.items.len() + more);
    }
}

impl<T> Store<T> for Slots<T> {
    fn as_slice(&self) -> &[T] {
        &self.items
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    fn room(&self) -> usize {
        self.limit - self.items.len()
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        (index < self.items.len()).then(|| self.items.remove(index))
    }
}
