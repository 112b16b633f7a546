// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The rows of the matrix that mkfs.erofs can make.

/// Which part of the input a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole tree.
    Whole,
    /// The specimens of `/ondine` alone: for rows that differ in form, not in contents.
    Specimens,
}

/// Where the file data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blobs {
    /// Into the image itself.
    None,
    /// Into one extra blob.
    One,
    /// Spread over three, by merging three images.
    Three,
}

/// How one image is made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The row's name in the table.
    pub name: &'static str,
    /// Options for mkfs.erofs.
    pub flags: &'static [&'static str],
    /// Extra blobs.
    pub blobs: Blobs,
    /// How much of the tree.
    pub scope: Scope,
}

const fn whole(name: &'static str, blobs: Blobs, flags: &'static [&'static str]) -> Recipe {
    Recipe {
        name,
        flags,
        blobs,
        scope: Scope::Whole,
    }
}

const fn small(name: &'static str, blobs: Blobs, flags: &'static [&'static str]) -> Recipe {
    Recipe {
        name,
        flags,
        blobs,
        scope: Scope::Specimens,
    }
}

/// Every row; the first is the one that a quick look takes.
pub const RECIPES: &[Recipe] = &[
    whole("inline-4k", Blobs::None, &[]),
    whole("chunk-4k", Blobs::One, &["--chunksize=4096"]),
    whole("chunk-64k", Blobs::One, &["--chunksize=65536"]),
    whole("chunk-1m", Blobs::One, &["--chunksize=1048576"]),
    whole("three-blobs", Blobs::Three, &["--chunksize=65536"]),
    whole("block-1k", Blobs::None, &["-b1024"]),
    whole(
        "xattrs",
        Blobs::None,
        &[
            "-x1",
            "--xattr-prefix=trusted.overlay.",
            "--xattr-prefix=user.number.",
        ],
    ),
    whole("48bit", Blobs::None, &["-E48bit"]),
    small("plain-4k", Blobs::None, &["-E^inline_data"]),
    small("block-512", Blobs::None, &["-b512"]),
    small(
        "block-2k-chunk",
        Blobs::One,
        &["-b2048", "--chunksize=8192"],
    ),
    small(
        "block-512-chunk",
        Blobs::One,
        &["-b512", "--chunksize=65536"],
    ),
    small(
        "block-map",
        Blobs::None,
        &["--chunksize=16384", "-Eforce-inode-blockmap"],
    ),
    small(
        "chunk-indexes",
        Blobs::None,
        &["--chunksize=16384", "-Eforce-chunk-indexes"],
    ),
    small("48bit-chunk", Blobs::One, &["-E48bit", "--chunksize=65536"]),
    small("dot-omitted", Blobs::None, &["-E48bit,dot-omitted"]),
    small("extended", Blobs::None, &["-Eforce-inode-extended"]),
    small(
        "prefixes-plain",
        Blobs::None,
        &[
            "-x1",
            "-Eplain-xattr-prefixes",
            "--xattr-prefix=trusted.overlay.",
        ],
    ),
    small("no-checksum", Blobs::None, &["-Enosbcrc"]),
    small("aligned", Blobs::None, &["--fsalignblks=64"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_file_name() {
        let mut names: Vec<_> = RECIPES.iter().map(|r| r.name).collect();
        assert!(names
            .iter()
            .all(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RECIPES.len());
    }
}
