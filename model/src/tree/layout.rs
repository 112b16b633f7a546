// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Storage options of a node.
//!
//! Options that the format cannot express fall back to another layout, so any options are valid for
//! any node; [`crate::write::Placed`] reports the layout used.

/// On-disk form of the inode (docs/spec/erofs-format.md section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InodeForm {
    /// Compact if all values fit, otherwise extended.
    #[default]
    Compact,
    /// Compact with bit 4: nlink is 1 and the start address has 48 bits. For non-directories with
    /// one name.
    CompactOneLink,
    /// Extended, 64 bytes.
    Extended,
}

/// Record width of a chunk map (docs/spec/erofs-format.md section 5.4).
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

/// Options of a chunk-based file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chunks {
    /// Chunk size is the block size shifted left by this, 0..=31.
    pub bits: u8,
    /// Record width.
    pub map: ChunkMap,
    /// Device of chunk k is `devices[k % len]`: 0 is the primary, n the n-th extra device; empty
    /// means primary. Ids are taken modulo the number of devices.
    pub devices: Vec<u16>,
    /// Address extra devices by unified block numbers with device id 0.
    pub unified: bool,
}

/// Data layout (docs/spec/erofs-format.md section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataForm {
    /// FLAT_PLAIN. A file that is a single hole gets the null start address.
    Plain,
    /// FLAT_INLINE; plain if the tail does not fit into the block after the inode.
    #[default]
    Inline,
    /// CHUNK_BASED.
    Chunked(Chunks),
}

/// Storage options of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Form of the inode.
    pub inode: InodeForm,
    /// Layout of the data.
    pub data: DataForm,
    /// Device of plain blocks. An extra device needs a unified address.
    pub device: u16,
    /// Omit the `.` entry of a directory (i_format bit 4).
    pub dot_omitted: bool,
    /// Put the inode into the metabox, if the image has one.
    pub metabox: bool,
    /// Start the inode in the last slot of a block, so that an extended one crosses into the next.
    pub straddle: bool,
    /// Maximum number of entries in a directory block; 0 for as many as fit.
    pub entries_per_block: u16,
}

impl Layout {
    /// FLAT_PLAIN, otherwise defaults.
    pub fn plain() -> Self {
        Layout {
            data: DataForm::Plain,
            ..Layout::default()
        }
    }

    /// FLAT_INLINE, otherwise defaults.
    pub fn inline() -> Self {
        Layout {
            data: DataForm::Inline,
            ..Layout::default()
        }
    }

    /// CHUNK_BASED with this map and chunk bits on these devices, otherwise defaults.
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

    /// Requests an extended inode.
    #[must_use]
    pub fn extended(mut self) -> Self {
        self.inode = InodeForm::Extended;
        self
    }

    /// Requests the metabox.
    #[must_use]
    pub fn in_metabox(mut self) -> Self {
        self.metabox = true;
        self
    }
}
