// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Records of the versions whose bytes are in the cache, and the drop of bytes of other versions.
//!
//! The kernel ties a cache file to the keys of a blob and to its size. A blob that is replaced by one of
//! the same size would leave a file of two contents. So the daemon keeps a record for each blob in the
//! directory [`RECORDS`] of the cache, and compares it at each OPEN.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::iter;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use thiserror::Error;

use crate::backend::{BlobKey, Version};

/// Directory of the records, in the directory of the cache.
pub const RECORDS: &str = "ondined";

/// Attribute in which the kernel records the size of a cache file. It empties a file without it at the
/// next OPEN (`docs/spec/cachefiles-ondemand.md` section 7).
const SIZE_ATTRIBUTE: &str = "user.CacheFiles.cache";

/// Bytes of a file name at most.
const NAME_MAX: usize = 255;

/// A blob whose OPEN must be refused.
#[derive(Debug, Error)]
pub(super) enum RecordError {
    /// Bytes of another version are in use.
    #[error("the cache has bytes of another version ({cached}), in use by a mounted image, and the blob is {now} now. Unmount all images that use this blob and mount them again: that drops its cached bytes")]
    InUse {
        /// The recorded version.
        cached: String,
        /// The version of the backend.
        now: Version,
    },
    /// The cache file has a name that only the driver knows.
    #[error("the cache may have bytes of another version ({cached}) in a file of unknown name, and the blob is {now} now. Empty the directory of the cache")]
    Unnamed {
        /// The recorded version.
        cached: String,
        /// The version of the backend.
        now: Version,
    },
    /// The record or the cache file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
}

/// The records of one cache.
#[derive(Debug)]
pub(super) struct Records {
    /// Directory of the cache.
    cache: PathBuf,
    /// Held while a record is compared and replaced.
    turn: Mutex<()>,
}

impl Records {
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            cache: cache.to_owned(),
            turn: Mutex::default(),
        }
    }

    /// Makes `now` the recorded version of the blob. If the record is another one, or none, the kernel
    /// will empty the cache file when the OPEN is answered: neither driver looks at the file before.
    ///
    /// `in_use` tells whether the kernel has looked at the cache file already, for a mount that has gone
    /// on without a daemon. It would not notice that the file loses its bytes.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(super) fn admit(
        &self,
        blob: &BlobKey,
        now: &Version,
        in_use: impl FnOnce() -> bool,
    ) -> Result<(), RecordError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = self.cache.join(RECORDS).join(name_of(&blob.volume));
        let path = dir.join(name_of(&blob.cookie));
        let file_error = |path: &Path, error| RecordError::File {
            path: path.to_owned(),
            error,
        };
        let (known, cached) = match fs::read_to_string(&path) {
            Ok(cached) => (true, cached),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (false, "of which there is no record".to_owned())
            }
            Err(error) => return Err(file_error(&path, error)),
        };
        if cached == now.to_string() {
            return Ok(());
        }
        let now = now.clone();
        if in_use() {
            return Err(RecordError::InUse { cached, now });
        }
        match self.void(blob) {
            Ok(Void::Emptied) => tracing::warn!(
                "{blob}: dropping the cached bytes of another version ({cached}): the blob is {now} now"
            ),
            Ok(Void::Unnamed) if known => return Err(RecordError::Unnamed { cached, now }),
            Ok(Void::Unnamed | Void::NothingCached) => (),
            Err(error) => return Err(file_error(&self.cache, error)),
        }
        write(&dir, &path, &now.to_string()).map_err(|error| file_error(&path, error))
    }

    /// Removes the size from the cache file of a blob.
    fn void(&self, blob: &BlobKey) -> io::Result<Void> {
        let volume = [b"I", &blob.volume[..]].concat();
        let volume = self.cache.join("cache").join(OsString::from_vec(volume));
        let name = cache_file_name(&blob.cookie);
        // One fan-out directory holds it, by a hash that is not worth computing here.
        let fan_out = match fs::read_dir(&volume) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        let mut found = None;
        for entry in fan_out.into_iter().flatten() {
            let path = entry?.path().join(&name);
            match rustix::fs::lremovexattr(&path, SIZE_ATTRIBUTE) {
                Ok(()) => {
                    File::open(&path)?.sync_all()?;
                    found = Some(Void::Emptied);
                }
                Err(Errno::NODATA) => found = found.or(Some(Void::NothingCached)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => (),
                Err(errno) => return Err(errno.into()),
            }
        }
        // The driver splits the name of a longer key.
        let plain = blob.cookie.iter().copied().all(is_plain) && name.len() <= NAME_MAX;
        let absent = if plain {
            Void::NothingCached
        } else {
            Void::Unnamed
        };
        Ok(found.unwrap_or(absent))
    }
}

/// Outcome of removing the size from a cache file.
#[derive(Clone, Copy)]
enum Void {
    /// There was one.
    Emptied,
    /// The file does not exist, or had no size.
    NothingCached,
    /// There is no file of a name that the specification tells.
    Unnamed,
}

/// Returns whether a byte of a key stands for itself in the name of a cache file.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x2e | 0x30..=0x7f)
}

/// Name of the cache file of a cookie: `D` and the key, or `P` and the escaped key.
fn cache_file_name(cookie: &[u8]) -> OsString {
    let escaped = cookie.iter().flat_map(|&byte| match byte {
        b'%' => b"%25".to_vec(),
        byte if is_plain(byte) => vec![byte],
        byte => format!("%{byte:02x}").into_bytes(),
    });
    let name = if cookie.iter().copied().all(is_plain) {
        [b"D", cookie].concat()
    } else {
        iter::once(b'P').chain(escaped).collect()
    };
    OsString::from_vec(name)
}

/// File name for a key: the key itself, but for the bytes that a name cannot have.
fn name_of(key: &[u8]) -> OsString {
    let escaped = key.iter().enumerate().flat_map(|(at, &byte)| match byte {
        b'/' | 0 | b'%' => format!("%{byte:02x}").into_bytes(),
        b'.' if at == 0 => b"%2e".to_vec(),
        byte => vec![byte],
    });
    OsString::from_vec(escaped.collect())
}

/// Replaces the file `path` in the directory `dir` in one step, and makes it durable: bytes that are
/// cached later never outlive it.
fn write(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // No key has this name: a dot at the start is escaped.
    let new = dir.join(".new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
