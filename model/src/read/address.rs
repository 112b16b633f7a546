// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Metadata address spaces and positions in them (docs/spec/erofs-format.md section 1).

/// A metadata address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The primary device.
    Primary,
    /// The contents of the metabox inode.
    Metabox,
    /// The contents of the packed inode (long prefixes only).
    Packed,
}

/// A byte position in a metadata space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct MetadataAddress {
    /// The space.
    pub space: Space,
    /// Byte offset in it.
    pub at: u64,
}

impl MetadataAddress {
    /// Advances by `bytes`. A sum beyond 64 bits saturates at the last byte, which is never
    /// readable.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        let at = self.at.saturating_add(bytes);
        Self { at, ..self }
    }

    /// Rounds up to a multiple of `unit` (a power of two) from the start of the space.
    #[must_use]
    pub fn aligned(self, unit: u64) -> Self {
        self.plus(self.at.wrapping_neg() & (unit - 1))
    }
}

impl std::fmt::Display for MetadataAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = match self.space {
            Space::Primary => "image",
            Space::Metabox => "metabox",
            Space::Packed => "packed",
        };
        write!(f, "{space}+{:#x}", self.at)
    }
}
