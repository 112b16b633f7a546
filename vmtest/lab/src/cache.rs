// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The build cache: one directory `<step>-<hash>` for each result, where `<hash>` covers the inputs.
//!
//! A directory without the marker file `.done` is incomplete and is never returned.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{flock, FlockOperation};
use sha2::{Digest, Sha256};

/// The hash of a step's inputs.
#[derive(Clone, Debug, Default)]
pub struct Key(Sha256);

impl Key {
    /// The hash of no inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one input. Its length is hashed too, so `"ab", "c"` and `"a", "bc"` differ.
    #[allow(clippy::should_implement_trait, reason = "a key is no number")]
    pub fn add(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update((input.len() as u64).to_le_bytes());
        self.0.update(input);
        self
    }

    /// Adds the content of the file at `path`.
    pub fn file(self, path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(self.add(text))
    }

    /// The first 64 bits of the hash, as sixteen hexadecimal digits.
    pub fn hex(&self) -> String {
        let digest = self.0.clone().finalize();
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The cache directory, `$XDG_CACHE_HOME/ondine` or `~/.cache/ondine`.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// A lock of the cache, held between processes. Dropping it, or the end of the process, releases it.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing the file releases the lock")] File);

/// The marker file of a complete directory. It is written last.
const DONE: &str = ".done";

impl Cache {
    /// Opens the user's cache and creates it if it does not exist.
    ///
    /// # Errors
    /// When neither `XDG_CACHE_HOME` nor `HOME` is set, or the directory cannot be created.
    pub fn open() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => std::env::var_os("HOME")
                .map(PathBuf::from)
                .context("no place for the cache: set XDG_CACHE_HOME or HOME")?
                .join(".cache"),
        };
        Self::at(base.join("ondine"))
    }

    /// Opens the cache at `root` and creates it if it does not exist.
    pub fn at(root: PathBuf) -> Result<Self> {
        for part in ["locks", "logs", "tmp"] {
            fs::create_dir_all(root.join(part))
                .with_context(|| format!("creating the cache at {}", root.display()))?;
        }
        Ok(Self { root })
    }

    /// The cache's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory `name` of the cache, which belongs to no step. Created if it does not exist.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The path of the log file `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Takes the lock `name`; waits while another process, or another thread of this one, holds it.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.root.join("locks").join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for the lock of {name}: it is being built");
            flock(file.as_fd(), FlockOperation::LockExclusive)
                .with_context(|| format!("locking {}", path.display()))?;
        }
        Ok(Lock(file))
    }

    /// The directory of a step's result, or `None` if it has not been built.
    pub fn find(&self, step: &str, key: &Key) -> Option<PathBuf> {
        let dir = self.result_dir(step, key);
        dir.join(DONE).exists().then_some(dir)
    }

    /// The directory of a step's result. If it does not exist, `make` fills a temporary directory,
    /// which is then renamed: no other process sees an incomplete result.
    ///
    /// # Errors
    /// When `make` fails, or the directory cannot be written.
    pub fn step(
        &self,
        step: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.finish(step, key, |dir| {
            let temporary = tempfile::Builder::new()
                .prefix(&format!("{step}-"))
                .tempdir_in(self.root.join("tmp"))?;
            make(temporary.path())?;
            fs::write(temporary.path().join(DONE), "")?;
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::rename(temporary.keep(), dir)?;
            Ok(())
        })
    }

    /// Like [`step`](Cache::step), but `make` works in the final directory. For results that contain
    /// their own path, and for builds that can resume after an interruption. The directory counts
    /// as complete once `make` has returned.
    ///
    /// # Errors
    /// When `make` fails, or the directory cannot be written.
    pub fn in_place(
        &self,
        step: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.finish(step, key, |dir| {
            fs::create_dir_all(dir)?;
            make(dir)?;
            fs::write(dir.join(DONE), "")?;
            Ok(())
        })
    }

    fn finish(
        &self,
        step: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(found) = self.find(step, key) {
            return Ok(found);
        }
        let dir = self.result_dir(step, key);
        let _lock = self.lock(&format!("{step}-{}", key.hex()))?;
        if let Some(found) = self.find(step, key) {
            return Ok(found);
        }
        make(&dir)?;
        Ok(dir)
    }

    fn result_dir(&self, step: &str, key: &Key) -> PathBuf {
        self.root.join(format!("{step}-{}", key.hex()))
    }

    /// Removes the results of `step` that are older than `kept`.
    ///
    /// # Errors
    /// When the cache cannot be listed or a directory cannot be removed.
    pub fn prune(&self, step: &str, kept: Duration) -> Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let dir = entry?.path();
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let hash = name.strip_prefix(step).and_then(|r| r.strip_prefix('-'));
            let Ok(done) = fs::metadata(dir.join(DONE)).and_then(|meta| meta.modified()) else {
                continue;
            };
            let old = done.elapsed().is_ok_and(|age| age > kept);
            if old && hash.is_some_and(|hash| !hash.contains('-')) {
                fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
            }
        }
        Ok(())
    }

    /// The answer called `name`, such as the newest version of a package. `make` asks the network
    /// the first time; later calls return the stored answer.
    ///
    /// # Errors
    /// When `make` fails, or the directory cannot be written.
    pub fn choice(&self, name: &str, make: impl FnOnce() -> Result<String>) -> Result<String> {
        let file = self.dir("choices")?.join(name);
        if let Ok(text) = fs::read_to_string(&file) {
            return Ok(text.trim().to_owned());
        }
        let chosen = make()?;
        let temporary = tempfile::NamedTempFile::new_in(self.root.join("tmp"))?;
        fs::write(temporary.path(), &chosen)?;
        temporary.persist(&file)?;
        Ok(chosen)
    }

    /// Removes every stored [`choice`](Cache::choice), so that the next use asks the network again.
    ///
    /// # Errors
    /// When the directory cannot be removed.
    pub fn forget_choices(&self) -> Result<()> {
        let dir = self.dir("choices")?;
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("c")).unwrap();
        (dir, cache)
    }

    #[test]
    fn the_key_tells_inputs_apart() {
        assert_eq!(Key::new().add("a").hex().len(), 16);
        assert_ne!(
            Key::new().add("ab").add("c").hex(),
            Key::new().add("a").add("bc").hex()
        );
        assert_eq!(Key::new().add("a").hex(), Key::new().add("a").hex());
    }

    #[test]
    fn only_old_results_of_the_step_are_pruned() {
        let (_dir, cache) = cache();
        let key = Key::new().add("x");
        let made = cache.step("s", &key, |_| Ok(())).unwrap();
        let other = cache.step("s-t", &key, |_| Ok(())).unwrap();
        cache.prune("s", Duration::from_secs(60)).unwrap();
        assert!(made.exists());
        std::thread::sleep(Duration::from_millis(20));
        cache.prune("s", Duration::from_millis(1)).unwrap();
        assert!(!made.exists() && other.exists());
    }

    #[test]
    fn a_step_is_made_once_and_a_failed_one_leaves_nothing() {
        let (_dir, cache) = cache();
        let key = Key::new().add("x");
        assert!(cache.step("s", &key, |_| anyhow::bail!("no")).is_err());
        assert!(cache.find("s", &key).is_none());
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
        let made = cache
            .step("s", &key, |dir| Ok(fs::write(dir.join("f"), "1")?))
            .unwrap();
        assert_eq!(fs::read_to_string(made.join("f")).unwrap(), "1");
        assert_eq!(
            cache.step("s", &key, |_| panic!("made twice")).unwrap(),
            made
        );
    }

    #[test]
    fn an_interrupted_build_goes_on_where_it_was() {
        let (_dir, cache) = cache();
        let key = Key::new();
        let first = |dir: &Path| {
            fs::write(dir.join("half"), "")?;
            anyhow::bail!("interrupted")
        };
        assert!(cache.in_place("k", &key, first).is_err());
        let made = cache.in_place("k", &key, |dir| {
            assert!(dir.join("half").exists());
            Ok(())
        });
        assert!(made.is_ok());
    }

    #[test]
    fn parallel_callers_make_it_once() {
        let (_dir, cache) = cache();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    cache.step("p", &Key::new(), |_| {
                        count.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_choice_is_remembered_until_forgotten() {
        let (_dir, cache) = cache();
        assert_eq!(cache.choice("v", || Ok("1".to_owned())).unwrap(), "1");
        assert_eq!(cache.choice("v", || Ok("2".to_owned())).unwrap(), "1");
        cache.forget_choices().unwrap();
        assert_eq!(cache.choice("v", || Ok("2".to_owned())).unwrap(), "2");
    }
}
