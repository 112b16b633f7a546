// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Room for the request table, which gives no more of it than was asked for.

use ondine_ondemand::requests::Store;

/// A list with a capacity that is kept to.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    items: Vec<T>,
    capacity: usize,
}

impl<T> Slots<T> {
    /// No room.
    pub(crate) fn new() -> Self {
        Self {
            items: Vec::new(),
            capacity: 0,
        }
    }

    /// Makes room for `more` further items.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.capacity = self.capacity.max(self.items.len() + more);
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
        self.capacity - self.items.len()
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
