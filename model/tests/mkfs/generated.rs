// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated trees packed by mkfs.erofs: the image of another writer must read back as the tree, too.

use std::fs;
use std::path::Path;

use ondine_model::generate::{tree, TreeShape};
use ondine_model::observation::{diff, Scope};
use ondine_model::read::Image;
use ondine_model::tree::Tree;
use ondine_model::write::ImageOptions;
use proptest::prelude::*;

use crate::program::make;

/// Invocations of mkfs.erofs: block bits, options, data in a blob.
const WAYS: &[(u8, &[&str], bool)] = &[
    (12, &[], false),
    (9, &["-b512"], false),
    (10, &["-b1024", "-Enoinline_data"], false),
    (11, &["-b2048", "-Eforce-inode-extended"], false),
    (12, &["-x1"], false),
    (9, &["-b512", "-x1", "-Exattr-name-filter"], false),
    (
        12,
        &[
            "--xattr-prefix=user.a.",
            "--xattr-prefix=trusted.a.b.",
            "-Exattr-name-filter",
        ],
        false,
    ),
    (
        12,
        &["--xattr-prefix=user.a.", "-Eplain-xattr-prefixes"],
        false,
    ),
    (12, &["--chunksize=4096"], false),
    (
        9,
        &["-b512", "--chunksize=1024", "-Eforce-chunk-indexes"],
        false,
    ),
    (9, &["-b512", "--chunksize=512", "-Ededupe"], false),
    (12, &["--chunksize=8192"], true),
    (9, &["-b512", "--chunksize=512"], true),
    (12, &["-E48bit"], false),
    (9, &["-b512", "-E48bit", "--chunksize=2048"], false),
    (12, &["-Edot-omitted"], false),
];

/// First difference between the tree and the reader's observation of mkfs.erofs's image.
fn first_difference(tree: &Tree, directory: &Path, options: &[&str], blob: bool) -> Option<String> {
    let source = directory.join("source");
    fs::create_dir(&source).expect("a directory");
    if let Err(error) = tree.write_to_directory(&source) {
        panic!("the tree cannot be made on disk: {error}; these tests run as root on ext4, XFS or Btrfs");
    }
    let image = directory.join("image.erofs");
    let blob_path = directory.join("blob");
    let blob_option = format!("--blobdev={}", blob_path.display());
    let mut all = vec!["--quiet", "--preserve-mtime"];
    all.extend(options);
    if blob {
        all.push(&blob_option);
    }
    make(&image, &source, &all);
    let blobs = if blob { vec![blob_path] } else { Vec::new() };
    let reader = match Image::open_files(&image, &blobs) {
        Ok(reader) => reader,
        Err(fault) => return Some(format!("does not mount: {fault}")),
    };
    // With features of 48BIT mkfs.erofs 1.9.4 writes times before 1970 into compact inodes, where
    // they wrap: the format and Linux read an unsigned offset from the epoch, which it leaves at 0.
    let wraps = options.contains(&"-E48bit") || options.contains(&"-Edot-omitted");
    let scope = Scope {
        mtime: !wraps,
        root_mtime: !wraps,
        ..Scope::source("the tree", "mkfs.erofs's image")
    };
    let expected = tree.observation(&ImageOptions::default());
    diff(&expected, &reader.observe(), &scope)
        .first()
        .map(ToString::to_string)
}

/// An index of [`WAYS`] and a tree with sizes around its block size.
fn way_and_tree() -> impl Strategy<Value = (usize, Tree)> {
    (0..WAYS.len()).prop_flat_map(|way| (Just(way), tree(TreeShape::for_disk(WAYS[way].0))))
}

/// Reason why the tests of this file cannot run.
pub(crate) fn missing() -> Option<String> {
    let root = rustix::process::geteuid().is_root();
    (!root).then(|| "needs root: it makes device nodes and sets owners".to_owned())
}

pub(crate) fn a_tree_reads_back_from_the_image_of_mkfs() {
    let config = ProptestConfig {
        cases: 64,
        test_name: Some("generated::a_tree_reads_back_from_the_image_of_mkfs"),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    proptest!(config, |((way, tree) in way_and_tree())| {
        let (_, options, blob) = WAYS[way];
        let directory = tempfile::tempdir().expect("a directory");
        let difference = first_difference(&tree, directory.path(), options, blob);
        prop_assert!(difference.is_none(), "{:?}: {}", options, difference.unwrap_or_default());
    });
}
