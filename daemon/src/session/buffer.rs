// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Memory that direct I/O accepts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::protocol::PAGE;

#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE as usize]);

/// Whole pages, on page boundaries.
#[derive(Debug)]
pub(super) struct Buffer(Vec<Page>);

impl Buffer {
    /// Room for `pages` pages of zeroes.
    pub(super) fn new(pages: usize) -> Self {
        Self(vec![Page([0; PAGE as usize]); pages])
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice().as_mut_bytes()
    }
}
