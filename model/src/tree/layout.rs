// SPDX-License-Identifier: Apache-2.0 OR MIT

//! How a node wishes to be stored.
//!
//! Wishes are honoured when the format can express them and fall back otherwise, so that any layout goes with any
//! node; [`crate::write::Placed`] says what became of each.

/// On-disk form of the inode (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InodeForm {
    /// Compact when everything fits, else extended.
    #[default]
    Compact,
    /// Compact with bit 4: nlink is 1 and the start address has 48 bits; for non-directories with one name.
    CompactOneLink,
    /// Extended, 64 bytes.
    Extended,
}

/// Width of a chunk map's records (section 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChunkMap {
    /// 4-byte block numbers on device 0.
    #[default]
    Blocks,
    /// 8-byte records with device and 32-bit block.
    Indexes,
    /// 8-byte records with device and 48-bit block.
    Indexes48,
}

/// Wishes for a chunk-based file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chunks {
    /// Chunk size is the block size shifted left by this, 0..=31.
    pub bits: u8,
    /// Record width.
    pub map: ChunkMap,
    /// Device of chunk k is `devices[k % len]`: 0 is the primary, n the n-th extra device; empty means primary.
    /// Devices that the image does not have are taken modulo their number plus one.
    pub devices: Vec<u16>,
    /// Name extra devices by unified block numbers under device 0 rather than by their id.
    pub unified: bool,
}

/// Data layout (section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataForm {
    /// FLAT_PLAIN. A file that is one hole gets the null start address.
    Plain,
    /// FLAT_INLINE; plain when the tail cannot fit in one block behind the inode.
    #[default]
    Inline,
    /// CHUNK_BASED.
    Chunked(Chunks),
}

/// All wishes of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Form of the inode.
    pub inode: InodeForm,
    /// Layout of the data.
    pub data: DataForm,
    /// Device of plain blocks: an extra device is reached through its unified address, so it must have one.
    pub device: u16,
    /// For a directory: leave out the `.` entry (i_format bit 4).
    pub dot_omitted: bool,
    /// Put the inode in the metabox, when the image has one.
    pub metabox: bool,
    /// Start the inode in the last slot of a block: an extended one then straddles two.
    pub straddle: bool,
    /// Directories: at most this many entries in a block, 0 for as many as fit.
    pub entries_per_block: u16,
}

impl Layout {
    /// FLAT_PLAIN, otherwise default.
    pub fn plain() -> Self {
        Layout {
            data: DataForm::Plain,
            ..Layout::default()
        }
    }

    /// FLAT_INLINE, otherwise default.
    pub fn inline() -> Self {
        Layout {
            data: DataForm::Inline,
            ..Layout::default()
        }
    }

    /// CHUNK_BASED with this map and chunk bits on the given devices, otherwise default.
    pub fn chunked(bits: u8, map: ChunkMap, devices: &[u16]) -> Self {
        let chunks = Chunks {
            bits,
            map,
            devices: devices.to_vec(),
            unified: false,
        };
        Layout {
            data: DataForm::Chunked(chunks),
            ..Layout::default()
        }
    }

    /// The same wishes with an extended inode.
    #[must_use]
    pub fn extended(mut self) -> Self {
        self.inode = InodeForm::Extended;
        self
    }

    /// The same wishes in the metabox.
    #[must_use]
    pub fn in_metabox(mut self) -> Self {
        self.metabox = true;
        self
    }
}
