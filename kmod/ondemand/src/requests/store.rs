// SPDX-License-Identifier: GPL-2.0

//! The memory of the table.

/// A list with room that the caller provides. Removal keeps the order.
pub trait Store<T> {
    /// The items.
    fn as_slice(&self) -> &[T];

    /// The items, to change.
    fn as_mut_slice(&mut self) -> &mut [T];

    /// Number of further items that fit.
    fn room(&self) -> usize;

    /// Appends an item.
    ///
    /// # Errors
    ///
    /// Gives it back if it does not fit.
    fn push(&mut self, item: T) -> Result<(), T>;

    /// Removes and returns the item at `index`; `None` if there is none.
    fn remove(&mut self, index: usize) -> Option<T>;
}
