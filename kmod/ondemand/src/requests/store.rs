// SPDX-License-Identifier: GPL-2.0

//! Room for what the table holds.

/// A list that the caller gives room to.
///
/// Removal keeps the order.
pub trait Store<T> {
    /// The items.
    fn as_slice(&self) -> &[T];

    /// The items, to change.
    fn as_mut_slice(&mut self) -> &mut [T];

    /// How many more items fit.
    fn room(&self) -> usize;

    /// Puts an item last.
    ///
    /// # Errors
    ///
    /// Gives it back if it does not fit.
    fn push(&mut self, item: T) -> Result<(), T>;

    /// Takes an item out; `None` if there is none at `index`.
    fn remove(&mut self, index: usize) -> Option<T>;
}
