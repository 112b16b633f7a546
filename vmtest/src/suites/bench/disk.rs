// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The drive that the guest measures on.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use vmtest_lab::cache::{Cache, Key};
use vmtest_lab::images::one_file::one_file;
use vmtest_lab::images::recipes::recipe;
use vmtest_lab::images::{build, debian_root, disk, Tree};
use vmtest_lab::step::Step;
use xshell::{cmd, Shell};

/// A file that holds an ext4 with the root tree as it is (`native`), its images (`tree.erofs`,
/// `chunked.erofs` with `chunked.blob`), and the images of one file each: `large.erofs` with
/// `large.blob`, and a smaller one, `blob.erofs` with `blob.blob`. There is room for a cache of the
/// blobs.
///
/// # Errors
/// When the tree or an image cannot be made.
pub(super) fn drive(cache: &Cache, mkfs: &std::path::Path) -> Result<PathBuf> {
    let root = debian_root::tree(cache)?;
    let tree = Tree::open(&root)?;
    let plain = build::image(cache, mkfs, &tree, recipe("inline-4k")?)?;
    let chunked = build::image(cache, mkfs, &tree, recipe("chunk-1m")?)?;
    let large = one_file(cache, mkfs, 256)?;
    let blob = one_file(cache, mkfs, 64)?;
    let files = [
        ("tree.erofs", &plain.primary),
        ("chunked.erofs", &chunked.primary),
        ("chunked.blob", &chunked.devices[0]),
        ("large.erofs", &large.primary),
        ("large.blob", &large.devices[0]),
        ("blob.erofs", &blob.primary),
        ("blob.blob", &blob.devices[0]),
    ];
    let mut key = Key::new()
        .add("bench drive 2")
        .add(root.as_os_str().as_encoded_bytes());
    for (name, file) in files {
        key = key.add(name).add(file.as_os_str().as_encoded_bytes());
    }
    let entry = cache.step("bench-drive", &key, |draft| {
        let staged = draft.join("staged");
        fs::create_dir(&staged)?;
        let step = Step::begin(cache, "bench-drive", "copying the root tree")?;
        let (shell, native) = (Shell::new()?, staged.join("native"));
        step.run(cmd!(shell, "cp --archive {root} {native}"))?;
        drop(step);
        for (name, file) in files {
            // Another name for the same bytes, where the file system allows it.
            if fs::hard_link(file, staged.join(name)).is_err() {
                fs::copy(file, staged.join(name))?;
            }
        }
        disk::filled(&draft.join("drive"), &staged, 1800 << 20)?;
        Ok(fs::remove_dir_all(&staged)?)
    })?;
    Ok(entry.join("drive"))
}
