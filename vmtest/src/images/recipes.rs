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
    /// Spread over twenty, likewise.
    Twenty,
}

/// How an image may differ from its source, and who cannot read it: what mkfs.erofs or the C
/// driver is known to do, so that every other difference counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Time stamps lost nanoseconds and what exceeds 32 bits of seconds (compact inodes).
    pub cut_times: bool,
    /// The root directory's attributes are made up (a merged image has no root of its own).
    pub free_root: bool,
    /// Paths that were left out.
    pub left_out: &'static [&'static str],
    /// The C driver fails on the image from a file, and this is why.
    pub not_c_from_file: Option<&'static str>,
    /// The C driver shows something else, and this is why.
    pub not_c: Option<&'static str>,
    /// The C driver looks from a file alone: other rows of this size have its loop device, and each
    /// look at a whole tree takes eight seconds under emulation.
    pub c_once: bool,
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
    /// Known departures from the source.
    pub terms: Terms,
}

const EXACT: Terms = Terms {
    cut_times: false,
    free_root: false,
    left_out: &[],
    not_c_from_file: None,
    not_c: None,
    c_once: false,
};

const ONCE: Terms = Terms {
    c_once: true,
    ..EXACT
};

/// mkfs.erofs 1.9.4 makes 48-bit images of compact inodes alone.
const CUT_TIMES: Terms = Terms {
    cut_times: true,
    ..EXACT
};

/// Merging gives holes the contents of some block (1.9.4), and no root of the sources survives.
const MERGED: Terms = Terms {
    c_once: true,
    free_root: true,
    left_out: &["ondine/sparse", "ondine/all-hole"],
    ..EXACT
};

const PARTIAL_PAGE: Terms = Terms {
    not_c_from_file: Some("C fetches metadata in whole pages: EIO in a file's last, partial page"),
    ..EXACT
};

const fn whole(name: &'static str, blobs: Blobs, flags: &'static [&'static str]) -> Recipe {
    Recipe {
        name,
        flags,
        blobs,
        scope: Scope::Whole,
        terms: EXACT,
    }
}

const fn small(name: &'static str, blobs: Blobs, flags: &'static [&'static str]) -> Recipe {
    Recipe {
        scope: Scope::Specimens,
        ..whole(name, blobs, flags)
    }
}

const fn on(terms: Terms, recipe: Recipe) -> Recipe {
    Recipe { terms, ..recipe }
}

use Blobs::{None as Inside, One, Three};

/// Every row; the first is the one that a quick look takes.
pub const RECIPES: &[Recipe] = &[
    whole("inline-4k", Inside, &[]),
    on(ONCE, whole("chunk-4k", One, &["--chunksize=4096"])),
    whole("chunk-64k", One, &["--chunksize=65536"]),
    on(ONCE, whole("chunk-1m", One, &["--chunksize=1048576"])),
    on(MERGED, whole("three-blobs", Three, &["--chunksize=65536"])),
    on(
        ONCE,
        whole("block-1k", Inside, &["-b1024", "--fsalignblks=4"]),
    ),
    on(
        ONCE,
        whole(
            "xattrs",
            Inside,
            &[
                "-x1",
                "--xattr-prefix=trusted.overlay.",
                "--xattr-prefix=user.number.",
            ],
        ),
    ),
    on(CUT_TIMES, whole("48bit", Inside, &["-E48bit"])),
    small("plain-4k", Inside, &["-E^inline_data"]),
    small("block-512", Inside, &["-b512", "--fsalignblks=8"]),
    on(PARTIAL_PAGE, small("unpadded-512", Inside, &["-b512"])),
    small(
        "block-2k-chunk",
        One,
        &["-b2048", "--chunksize=8192", "--fsalignblks=2"],
    ),
    small(
        "block-512-chunk",
        One,
        &["-b512", "--chunksize=65536", "--fsalignblks=8"],
    ),
    small(
        "block-map",
        Inside,
        &["--chunksize=16384", "-Eforce-inode-blockmap"],
    ),
    small(
        "chunk-indexes",
        Inside,
        &["--chunksize=16384", "-Eforce-chunk-indexes"],
    ),
    on(
        CUT_TIMES,
        small("48bit-chunk", One, &["-E48bit", "--chunksize=65536"]),
    ),
    on(
        CUT_TIMES,
        small("dot-omitted", Inside, &["-E48bit,dot-omitted"]),
    ),
    small("extended", Inside, &["-Eforce-inode-extended"]),
    small(
        "prefixes-plain",
        Inside,
        &[
            "-x1",
            "-Eplain-xattr-prefixes",
            "--xattr-prefix=trusted.overlay.",
        ],
    ),
    small("no-checksum", Inside, &["-Enosbcrc"]),
    small("aligned", Inside, &["--fsalignblks=64"]),
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
