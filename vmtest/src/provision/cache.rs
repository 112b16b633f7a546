// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The cache: `<step>-<hash>` directories that are complete or not there.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{flock, FlockOperation};
use sha2::{Digest, Sha256};

/// What a step is made from, as a hash.
#[derive(Clone, Debug, Default)]
pub struct Key(Sha256);

impl Key {
    /// A key of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one input; where one ends and the next begins is part of the key.
    #[allow(clippy::should_implement_trait, reason = "a key is no number")]
    pub fn add(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update((input.len() as u64).to_le_bytes());
        self.0.update(input);
        self
    }

    /// Adds a file's content.
    pub fn file(self, path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(self.add(text))
    }

    /// Sixteen hexadecimal digits.
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

/// Held while something of the cache is being made; the end of the process lets it go too.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing it is what unlocks")] File);

/// A complete directory carries this; a directory without it is work under way.
const DONE: &str = ".done";

impl Cache {
    /// Opens the user's cache, making it when it is not there.
    pub fn open() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => std::env::var_os("HOME")
                .map(PathBuf::from)
                .context("neither XDG_CACHE_HOME nor HOME says where the cache is")?
                .join(".cache"),
        };
        Self::at(base.join("ondine"))
    }

    /// A cache at `root`.
    pub fn at(root: PathBuf) -> Result<Self> {
        for part in ["locks", "logs", "tmp"] {
            fs::create_dir_all(root.join(part))
                .with_context(|| format!("making the cache at {}", root.display()))?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory of the cache that is not a step: `name` below the root.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The log file called `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Waits until nobody else makes `name`.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.root.join("locks").join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("another process is making {name}: waiting for it");
            flock(file.as_fd(), FlockOperation::LockExclusive)
                .with_context(|| format!("locking {}", path.display()))?;
        }
        Ok(Lock(file))
    }

    /// The directory of a finished step.
    pub fn find(&self, step: &str, key: &Key) -> Option<PathBuf> {
        let dir = self.place(step, key);
        dir.join(DONE).exists().then_some(dir)
    }

    /// The step's directory. When it is not there, `make` fills a temporary one, which then takes
    /// its place: nobody ever sees half of it.
    pub fn step(
        &self,
        step: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.finish(step, key, |place| {
            let temporary = tempfile::Builder::new()
                .prefix(&format!("{step}-"))
                .tempdir_in(self.root.join("tmp"))?;
            make(temporary.path())?;
            fs::write(temporary.path().join(DONE), "")?;
            if place.exists() {
                fs::remove_dir_all(place)?;
            }
            fs::rename(temporary.keep(), place)?;
            Ok(())
        })
    }

    /// Like [`step`](Cache::step), for what knows its own path or goes on where an interrupted
    /// build stopped: `make` works in the final directory, which counts once it has returned.
    pub fn in_place(
        &self,
        step: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.finish(step, key, |place| {
            fs::create_dir_all(place)?;
            make(place)?;
            fs::write(place.join(DONE), "")?;
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
        let place = self.place(step, key);
        let _lock = self.lock(&format!("{step}-{}", key.hex()))?;
        if let Some(found) = self.find(step, key) {
            return Ok(found);
        }
        make(&place)?;
        Ok(place)
    }

    fn place(&self, step: &str, key: &Key) -> PathBuf {
        self.root.join(format!("{step}-{}", key.hex()))
    }

    /// Removes what `step` made longer than `kept` ago.
    ///
    /// # Errors
    /// When the cache cannot be listed, or something of it not removed.
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

    /// A choice that was made by asking the network, remembered by `name`.
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

    /// Forgets every [`choice`](Cache::choice), so that the next use asks the network again.
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
