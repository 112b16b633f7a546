// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The image matrix: the options of mkfs.erofs for each image, and the expected differences between
//! the image and its input tree.

use anyhow::{Context as _, Result};

/// The part of the input tree in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole tree.
    Whole,
    /// Only the special files in `/ondine`: enough for rows that differ in layout, not in contents.
    ModelImages,
}

/// The place of the file data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blobs {
    /// File data in the image itself.
    None,
    /// File data in one blob.
    One,
    /// File data in three blobs, by merging three images.
    Three,
    /// File data in twenty blobs, by merging twenty images.
    Twenty,
}

/// The expected differences of an image: from its source, because of known properties of
/// mkfs.erofs, and of the C driver's observation. Every other difference is a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectedDifferences {
    /// Time stamps lose their nanoseconds and are cut to 32 bits of seconds (compact inodes).
    pub cut_times: bool,
    /// The root directory's metadata differs from the source's (merging makes a new root).
    pub free_root: bool,
    /// Paths of the source that are not in the image.
    pub left_out: &'static [&'static str],
    /// The reason why the C driver cannot read the image through a file-backed mount.
    pub not_c_from_file: Option<&'static str>,
    /// The reason why the C driver's observation differs.
    pub not_c: Option<&'static str>,
    /// The C driver reads the image through a file-backed mount only, not through a loop device.
    /// This saves time (eight seconds for a whole tree under emulation); other rows cover it.
    pub c_once: bool,
}

/// A row of the matrix: the way to make one image.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The row's name in the table.
    pub name: &'static str,
    /// Options for mkfs.erofs.
    pub flags: &'static [&'static str],
    /// The place of the file data.
    pub blobs: Blobs,
    /// The part of the input tree.
    pub scope: Scope,
    /// Expected differences from the source.
    pub terms: ExpectedDifferences,
}

const EXACT: ExpectedDifferences = ExpectedDifferences {
    cut_times: false,
    free_root: false,
    left_out: &[],
    not_c_from_file: None,
    not_c: None,
    c_once: false,
};

const ONCE: ExpectedDifferences = ExpectedDifferences {
    c_once: true,
    ..EXACT
};

/// mkfs.erofs 1.9.4 writes only compact inodes in 48-bit images.
const CUT_TIMES: ExpectedDifferences = ExpectedDifferences {
    cut_times: true,
    ..EXACT
};

/// Merging in mkfs.erofs 1.9.4 fills holes with the contents of another block, and drops the root
/// directories' metadata.
const MERGED: ExpectedDifferences = ExpectedDifferences {
    c_once: true,
    free_root: true,
    left_out: &["ondine/sparse", "ondine/all-hole"],
    ..EXACT
};

const PARTIAL_PAGE: ExpectedDifferences = ExpectedDifferences {
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
        scope: Scope::ModelImages,
        ..whole(name, blobs, flags)
    }
}

const fn on(terms: ExpectedDifferences, recipe: Recipe) -> Recipe {
    Recipe { terms, ..recipe }
}

use Blobs::{None as Inside, One, Three};

/// The rows of the matrix.
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

/// The recipe called `name`.
///
/// # Errors
/// When the matrix has no such row.
pub fn recipe(name: &str) -> Result<&'static Recipe> {
    let found = RECIPES.iter().find(|recipe| recipe.name == name);
    found.with_context(|| format!("the image matrix has no row {name}"))
}

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
