// SPDX-License-Identifier: GPL-2.0

//! The unit in which cache files are filled.

/// Log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Size of a page in bytes: the unit in which cache files are filled, independent of
/// the machine's page size.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Number of pages of a blob of `size` bytes; the last page may be partial.
#[inline]
pub const fn pages_of(size: u64) -> u64 {
    size.div_ceil(PAGE_SIZE)
}
