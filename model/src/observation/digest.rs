// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The digest of a file's contents.

use xxhash_rust::xxh3::Xxh3;

use super::Content;

/// Digests a file piece by piece.
///
/// It is 128-bit XXH3: observations are compared to find mistakes, not forgeries, and guests digest gigabytes under
/// emulation, where SHA-256 takes most of the time of a run.
#[derive(Default)]
pub struct Digester {
    state: Box<Xxh3>,
    bytes: u64,
}

impl Digester {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The account of all bytes taken.
    pub fn finish(self) -> Content {
        Content {
            bytes: self.bytes,
            xxh3: format!("{:032x}", self.state.digest128()),
        }
    }
}
