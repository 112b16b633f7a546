// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Distribution of a tree's files over several blobs, as in the layers of a container image.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The files of each of `count` layers, as paths relative to `root`. All layers have all directories.
///
/// All names of an inode are in the same layer. Files that are not regular are in the first layer.
///
/// # Errors
/// When a directory cannot be read.
pub(super) fn shares(count: usize, root: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let mut shares = vec![Vec::new(); count];
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                left.push(entry.path());
                continue;
            }
            // Eight consecutive inode numbers stay together: such files are adjacent on disk.
            let lot = if meta.is_file() {
                usize::try_from(meta.ino() / 8)? % count
            } else {
                0
            };
            shares[lot].push(entry.path().strip_prefix(root)?.to_owned());
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_dealt_once_and_links_stay_together() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        for n in 0..60 {
            fs::write(dir.path().join(format!("d/{n}")), b"").unwrap();
        }
        fs::hard_link(dir.path().join("d/30"), dir.path().join("link")).unwrap();
        let shares = shares(3, dir.path()).unwrap();
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 61);
        assert!(shares.iter().all(|s| !s.is_empty()));
        let holder = |path: &str| shares.iter().position(|s| s.contains(&PathBuf::from(path)));
        assert_eq!(holder("d/30"), holder("link"));
    }
}
