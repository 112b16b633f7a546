// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Page-aligned memory, as direct I/O requires.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::protocol::PAGE;

#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE as usize]);

/// A buffer of whole pages at a page-aligned address.
#[derive(Debug)]
pub(super) struct Buffer(Vec<Page>);

impl Buffer {
    /// A zeroed buffer of `pages` pages.
    pub(super) fn new(pages: usize) -> Self {
        Self(vec![Page([0; PAGE as usize]); pages])
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice().as_mut_bytes()
    }
}
