// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Running mkfs.erofs, once for each pair of tree and recipe.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::command;
use super::recipes::{Blobs, Recipe, Scope};
use super::split;
use super::store::{Key, Store};
use super::ImageSpec;

/// An input tree and what its contents hash to.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The tree's root.
    pub root: PathBuf,
    key: String,
}

impl Tree {
    /// The tree at `root`, identified by the metadata of every entry.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot open {}", root.display()))?;
        let mut key = Key::new("tree metadata").with(root.as_os_str().as_encoded_bytes());
        let mut left = vec![root.clone()];
        while let Some(dir) = left.pop() {
            let mut entries: Vec<_> = fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let meta = entry.metadata()?;
                key = key.with(entry.file_name().as_encoded_bytes());
                for word in [meta.ino(), meta.size(), u64::from(meta.mode())] {
                    key = key.with(&word.to_le_bytes());
                }
                // The change time covers contents, owner, mode and attributes.
                for word in [meta.ctime(), meta.ctime_nsec()] {
                    key = key.with(&word.to_le_bytes());
                }
                if meta.is_dir() {
                    left.push(entry.path());
                }
            }
        }
        Ok(Self {
            root,
            key: key.name(),
        })
    }

    /// The directory that a recipe of `scope` takes: the specimens when the tree has them.
    pub fn part(&self, scope: Scope) -> PathBuf {
        let specimens = self.root.join("ondine");
        match scope {
            Scope::Specimens if specimens.join("attributes").is_dir() => specimens,
            _ => self.root.clone(),
        }
    }
}

/// The image of `tree` after `recipe`.
///
/// # Errors
/// Those of mkfs.erofs.
pub fn image(store: &Store, mkfs: &Path, tree: &Tree, recipe: &Recipe) -> Result<ImageSpec> {
    let version = fs::metadata(mkfs).with_context(|| format!("no {}", mkfs.display()))?;
    let key = Key::new("image 1")
        .with(tree.key.as_bytes())
        .with(&version.len().to_le_bytes())
        .with(format!("{recipe:?}").as_bytes());
    let source = tree.part(recipe.scope);
    let entry = store.entry("images", recipe.name, &key, |draft| match recipe.blobs {
        Blobs::None => make(
            mkfs,
            recipe.flags,
            &draft.join("image.erofs"),
            None,
            &source,
        ),
        Blobs::One => {
            let blob = draft.join("blob-1");
            make(
                mkfs,
                recipe.flags,
                &draft.join("image.erofs"),
                Some(&blob),
                &source,
            )
        }
        Blobs::Three => merged(mkfs, recipe.flags, draft, &source),
    })?;
    let devices = match recipe.blobs {
        Blobs::None => 0,
        Blobs::One => 1,
        Blobs::Three => 3,
    };
    Ok(ImageSpec {
        name: recipe.name.to_owned(),
        primary: entry.join("image.erofs"),
        devices: (1..=devices)
            .map(|n| entry.join(format!("blob-{n}")))
            .collect(),
        options: Vec::new(),
        source: Some(source),
    })
}

fn make(
    mkfs: &Path,
    flags: &[impl AsRef<OsStr>],
    to: &Path,
    blob: Option<&Path>,
    from: &Path,
) -> Result<()> {
    let mut tool = Command::new(mkfs);
    // A fixed identity and build time: the same tree gives the same bytes.
    tool.args([
        "--quiet",
        "--mkfs-time",
        "-T0",
        "-U00112233-4455-6677-8899-aabbccddeeff",
    ])
    .args(["-Londine", "--workers=1"])
    .args(flags);
    if let Some(blob) = blob {
        let mut option = OsString::from("--blobdev=");
        option.push(blob);
        tool.arg(option);
    }
    command::run(tool.arg(to).arg(from))?;
    Ok(())
}

/// Three images, each of a third of the files and with its own blob, merged into one bootstrap.
fn merged(mkfs: &Path, flags: &[&str], draft: &Path, from: &Path) -> Result<()> {
    let work = draft.join("work");
    fs::create_dir(&work)?;
    let parts = split::shares(3, from)?;
    let mut merge = Command::new(mkfs);
    merge
        .args([
            "--quiet",
            "-T0",
            "--mkfs-time",
            "-U00112233-4455-6677-8899-aabbccddeeff",
        ])
        .arg(draft.join("image.erofs"));
    for n in 0..parts.len() {
        let image = work.join(format!("part-{n}.erofs"));
        let others = parts
            .iter()
            .enumerate()
            .filter(|(m, _)| *m != n)
            .flat_map(|(_, files)| files);
        let mut flags: Vec<OsString> = flags.iter().map(OsString::from).collect();
        for path in others {
            let mut option = OsString::from("--exclude-path=");
            option.push(path);
            flags.push(option);
        }
        make(
            mkfs,
            &flags,
            &image,
            Some(&draft.join(format!("blob-{}", n + 1))),
            from,
        )?;
        merge.arg(image);
    }
    command::run(&mut merge)?;
    Ok(fs::remove_dir_all(&work)?)
}
