// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Small images, written field by field, for checks of ondine alone.

use std::path::Path;

use anyhow::Result;

use crate::mounts::Mounted;

/// File system type of the driver under these checks.
pub(crate) const DRIVER: &str = "ondine";

/// Mount point of the images.
pub(crate) const POINT: &str = "/run/ondine/edge";

/// Inode fields that the handmade images set.
pub(crate) struct Inode {
    pub(crate) layout: u16,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// Start block, or chunk format; all ones ([`Handmade::HOLE`]) for a file without blocks.
    pub(crate) start: u64,
}

/// A small image, written field by field.
pub(crate) struct Handmade(pub(crate) Vec<u8>);

impl Handmade {
    /// Offset of the root directory's inode in bytes.
    pub(crate) const ROOT: usize = 2048;
    pub(crate) const PLAIN: u16 = 0;
    pub(crate) const INLINE: u16 = 2;
    pub(crate) const CHUNKED: u16 = 4;
    pub(crate) const HOLE: u64 = (1 << 48) - 1;

    /// Creates an image with blocks of `1 << bits` bytes whose root directory contains `.`, `..`
    /// and then `entries`, which are sorted by name.
    pub(crate) fn new(bits: u8, entries: &[(&str, u64)]) -> Self {
        let mut image = Self(vec![0; 16 << 10]);
        image.put(1024, &0xe0f5_e1e2u32.to_le_bytes());
        image.put(1024 + 12, &[bits]);
        let root = Self::nid(Self::ROOT);
        image.put(1024 + 14, &root.to_le_bytes()[..2]);
        let own = [(".", root), ("..", root)];
        let entries: Vec<_> = own.iter().chain(entries).collect();
        let mut names = entries.len() * 12;
        let size: usize = names + entries.iter().map(|(name, _)| name.len()).sum::<usize>();
        image.inode(
            Self::ROOT,
            &Inode {
                layout: Self::INLINE,
                mode: 0o040_755,
                size: size as u64,
                start: 0,
            },
        );
        let block = Self::ROOT + 64;
        for (n, (name, nid)) in entries.into_iter().enumerate() {
            image.put(block + n * 12, &nid.to_le_bytes());
            image.put(block + n * 12 + 8, &(names as u16).to_le_bytes());
            image.put(block + names, name.as_bytes());
            names += name.len();
        }
        image
    }

    /// Creates an image with blocks of 4 KiB and one file, `name`, of `size` bytes. They follow the image, and are the
    /// caller's to add. The file's inode is not in the first page.
    pub(crate) fn one_file(name: &str, size: u64) -> Self {
        const FILE: usize = 4096;
        let mut image = Self::new(12, &[(name, Self::nid(FILE))]);
        let file = Inode {
            layout: Self::PLAIN,
            mode: 0o100_644,
            size,
            start: (image.0.len() / 4096) as u64,
        };
        image.inode(FILE, &file);
        image
    }

    pub(crate) fn nid(at: usize) -> u64 {
        at as u64 / 32
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes an extended inode at the offset `at`.
    pub(crate) fn inode(&mut self, at: usize, inode: &Inode) {
        self.put(at, &(1 | inode.layout << 1).to_le_bytes());
        self.put(at + 4, &inode.mode.to_le_bytes());
        self.put(at + 6, &inode.start.to_le_bytes()[4..6]);
        self.put(at + 8, &inode.size.to_le_bytes());
        self.put(at + 16, &inode.start.to_le_bytes()[..4]);
        self.put(at + 44, &1u32.to_le_bytes());
    }
}

/// Mounts `source` at [`POINT`].
pub(crate) fn mount(source: &str, options: &str) -> Result<Mounted> {
    Mounted::plain(DRIVER, Path::new(source), Path::new(POINT), options)?
        .map_err(|errno| anyhow::anyhow!("mounting {source}: {errno}"))
}
