// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Blobs from one directory, whose files are named by the cookie keys.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::{Backend, BackendError, BlobKey, Version};

/// A directory of blobs.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    /// A backend for the files of `root`.
    ///
    /// # Errors
    /// `root` is not a readable directory.
    pub fn new(root: &Path) -> Result<Self, BackendError> {
        std::fs::read_dir(root).map_err(|error| BackendError::File {
            path: root.to_owned(),
            error,
        })?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn path(&self, blob: &BlobKey) -> Result<PathBuf, BackendError> {
        let name = &blob.cookie[..];
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(BackendError::Name(blob.clone()));
        }
        Ok(self.root.join(OsStr::from_bytes(name)))
    }
}

impl Backend for Local {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        let path = self.path(blob)?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(version(&metadata))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::File { path, error }),
        }
    }

    fn read(
        &self,
        blob: &BlobKey,
        opened: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        let path = self.path(blob)?;
        let mut read = || {
            let file = File::open(&path)?;
            let bytes = file.read_exact_at(buffer, offset);
            // After the bytes were read, for a file that is written to meanwhile. A file that became
            // too short fails to be read, but the reason is that it changed.
            let now = version(&file.metadata()?);
            if now == *opened {
                bytes?;
            }
            Ok(now)
        };
        match read() {
            Ok(now) if now == *opened => Ok(()),
            Ok(now) => Err(BackendError::Changed {
                name: path.display().to_string(),
                opened: opened.clone(),
                now,
            }),
            Err(error) => Err(BackendError::File { path, error }),
        }
    }
}

/// The version of a file. A file that is replaced has another inode, one that is written to another
/// mtime.
fn version(file: &Metadata) -> Version {
    Version {
        size: file.len(),
        identity: format!(
            "inode {} of device {}, modified at {}.{:09}",
            file.ino(),
            file.dev(),
            file.mtime(),
            file.mtime_nsec()
        ),
    }
}
