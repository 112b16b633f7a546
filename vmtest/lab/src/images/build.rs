// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images made by mkfs.erofs, one for each pair of input tree and recipe.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use super::recipes::{Blobs, Recipe, Scope};
use super::{split, ImageSpec};
use crate::cache::{Cache, Key};
use crate::step::Step;

/// An input tree, with a hash of its contents.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The tree's root.
    pub root: PathBuf,
    key: String,
}

impl Tree {
    /// Opens the tree at `root` and hashes the metadata of all entries.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot open {}", root.display()))?;
        let mut key = Key::new()
            .add("tree metadata")
            .add(root.as_os_str().as_encoded_bytes());
        let mut left = vec![root.clone()];
        while let Some(dir) = left.pop() {
            let mut entries: Vec<_> = fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let meta = entry.metadata()?;
                key = key.add(entry.file_name().as_encoded_bytes());
                for word in [meta.ino(), meta.size(), u64::from(meta.mode())] {
                    key = key.add(word.to_le_bytes());
                }
                // The change time covers contents, owner, mode and attributes.
                for word in [meta.ctime(), meta.ctime_nsec()] {
                    key = key.add(word.to_le_bytes());
                }
                if meta.is_dir() {
                    left.push(entry.path());
                }
            }
        }
        Ok(Self {
            root,
            key: key.hex(),
        })
    }

    /// The hash of the tree, as hexadecimal digits.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The directory that an image of `scope` holds: the specimens if the tree has them, else the
    /// whole tree.
    pub fn part(&self, scope: Scope) -> PathBuf {
        let specimens = self.root.join("ondine");
        match scope {
            Scope::ModelImages if specimens.join("attributes").is_dir() => specimens,
            _ => self.root.clone(),
        }
    }
}

/// Makes the image of `tree` by `recipe` if it is not in the cache.
///
/// # Errors
/// When mkfs.erofs fails.
pub fn image(cache: &Cache, mkfs: &Path, tree: &Tree, recipe: &Recipe) -> Result<ImageSpec> {
    let key = Key::new()
        .add("image 2")
        .add(&tree.key)
        .add(mkfs.as_os_str().as_encoded_bytes())
        .add(format!(
            "{:?}",
            (
                recipe.flags,
                recipe.blobs,
                recipe.scope,
                recipe.terms.left_out
            )
        ));
    let source = tree.part(recipe.scope);
    let step = format!("image-{}", recipe.name);
    let entry = cache.step(&step, &key, |draft| {
        let step = Step::begin(cache, &step, format!("making image {}", recipe.name))?;
        let maker = Maker {
            mkfs,
            step: &step,
            recipe,
        };
        let image = draft.join("image.erofs");
        match recipe.blobs {
            Blobs::None => maker.make(&image, None, &source, &[]),
            Blobs::One => maker.make(&image, Some(&draft.join("blob-1")), &source, &[]),
            Blobs::Three => maker.merged(3, &image, draft, &source),
            Blobs::Twenty => maker.merged(20, &image, draft, &source),
        }
    })?;
    let devices = match recipe.blobs {
        Blobs::None => 0,
        Blobs::One => 1,
        Blobs::Three => 3,
        Blobs::Twenty => 20,
    };
    Ok(ImageSpec {
        name: recipe.name.to_owned(),
        primary: entry.join("image.erofs"),
        devices: (1..=devices)
            .map(|n| entry.join(format!("blob-{n}")))
            .collect(),
        options: Vec::new(),
        source: Some(source),
        terms: recipe.terms,
        expected: None,
    })
}

/// Options that fix UUID and build time, so that the same tree gives the same bytes.
const IDENTITY: [&str; 4] = [
    "--quiet",
    "--mkfs-time",
    "-T0",
    "-U00112233-4455-6677-8899-aabbccddeeff",
];

struct Maker<'a> {
    mkfs: &'a Path,
    step: &'a Step,
    recipe: &'a Recipe,
}

impl Maker<'_> {
    fn make(
        &self,
        to: &Path,
        blob: Option<&Path>,
        from: &Path,
        without: &[&PathBuf],
    ) -> Result<()> {
        let shell = Shell::new()?;
        let mkfs = self.mkfs;
        let mut tool = cmd!(shell, "{mkfs} -Londine --workers=1")
            .args(IDENTITY)
            .args(self.recipe.flags);
        if let Some(blob) = blob {
            tool = tool.arg(option("--blobdev=", blob));
        }
        for path in without {
            tool = tool.arg(option("--exclude-path=", path));
        }
        self.step.run(tool.arg(to).arg(from))
    }

    /// Makes `count` images, each of a share of the files and with a blob of its own, and merges
    /// them into one bootstrap.
    fn merged(&self, count: usize, to: &Path, draft: &Path, from: &Path) -> Result<()> {
        let work = draft.join("work");
        fs::create_dir(&work)?;
        let left_out: Vec<PathBuf> = self
            .recipe
            .terms
            .left_out
            .iter()
            .map(PathBuf::from)
            .collect();
        let shares = split::shares(count, from)?;
        let mut parts = Vec::new();
        for n in 0..shares.len() {
            let part = work.join(format!("part-{n}.erofs"));
            let others = shares.iter().enumerate().filter(|(m, _)| *m != n);
            let mut without: Vec<&PathBuf> = others.flat_map(|(_, files)| files).collect();
            without.extend(&left_out);
            self.make(
                &part,
                Some(&draft.join(format!("blob-{}", n + 1))),
                from,
                &without,
            )?;
            parts.push(part);
        }
        let shell = Shell::new()?;
        let mkfs = self.mkfs;
        self.step
            .run(cmd!(shell, "{mkfs}").args(IDENTITY).arg(to).args(parts))?;
        Ok(fs::remove_dir_all(&work)?)
    }
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}
