// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Digest of a file's contents.

use xxhash_rust::xxh3::Xxh3;

use super::Content;

/// Incremental digest of a file.
///
/// Uses 128-bit XXH3: comparisons must detect mistakes, not forgeries, and guests digest gigabytes
/// under emulation, where SHA-256 would dominate the run time.
#[derive(Default)]
pub struct Digester {
    state: Box<Xxh3>,
    bytes: u64,
}

impl Digester {
    /// Adds the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Length and digest of all bytes added.
    pub fn finish(self) -> Content {
        Content {
            bytes: self.bytes,
            xxh3: format!("{:032x}", self.state.digest128()),
        }
    }
}
