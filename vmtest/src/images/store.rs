// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A content-addressed store below the user's cache directory.
//!
//! An entry is a directory that appears under its final name only when it is complete, so that an
//! interrupted build is never taken for a finished one, and whose making is guarded by a lock, so
//! that two callers do the work once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{flock, FlockOperation};
use sha2::{Digest, Sha256};

/// What an entry's contents depend on: equal keys promise equal contents.
#[derive(Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// A key for entries of one recipe; change `recipe` when the recipe changes.
    pub fn new(recipe: &str) -> Self {
        Self::default().with(recipe.as_bytes())
    }

    /// The key that also depends on `part`.
    #[must_use]
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Twenty hex digits that name the entry.
    pub fn name(&self) -> String {
        let digest = self.0.clone().finalize();
        digest.iter().take(10).map(|b| format!("{b:02x}")).collect()
    }
}

/// The store itself.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The user's store: `$XDG_CACHE_HOME/ondine`, or `~/.cache/ondine`.
    ///
    /// # Errors
    /// When the directory cannot be made, or when there is no home directory.
    pub fn open() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
            Some(cache) => PathBuf::from(cache),
            None => {
                PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache")
            }
        };
        Self::at(base.join("ondine"))
    }

    /// A store in a directory of the caller's choice.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        Ok(Self { root })
    }

    /// The entry `kind/name-key`, made by `make` in an empty directory when it is not there yet.
    ///
    /// # Errors
    /// Those of `make`, and those of the file system.
    pub fn entry(
        &self,
        kind: &str,
        name: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let shelf = self.root.join(kind);
        let entry = shelf.join(format!("{name}-{}", key.name()));
        if entry.is_dir() {
            return Ok(entry);
        }
        fs::create_dir_all(&shelf)?;
        let lock = File::create(shelf.join(format!(".{name}-{}.lock", key.name())))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        let draft = shelf.join(format!(".{name}-{}.part", key.name()));
        if draft.exists() {
            fs::remove_dir_all(&draft)?;
        }
        fs::create_dir(&draft)?;
        make(&draft).with_context(|| format!("cannot make {kind}/{name}"))?;
        fs::rename(&draft, &entry)?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_a_failed_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s")).unwrap();
        let key = Key::new("t").with(b"a");
        let failed = store.entry("k", "n", &key, |d| {
            fs::write(d.join("half"), b"x")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        let made = store
            .entry("k", "n", &key, |d| Ok(fs::write(d.join("f"), b"x")?))
            .unwrap();
        assert!(made.join("f").exists() && !made.join("half").exists());
        let again = store.entry("k", "n", &key, |_| unreachable!()).unwrap();
        assert_eq!(made, again);
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        let a = Key::new("r").with(b"ab").with(b"c");
        let b = Key::new("r").with(b"a").with(b"bc");
        assert_ne!(a.name(), b.name());
    }
}
