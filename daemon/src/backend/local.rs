// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Blobs from one directory, whose files are named by the cookie keys.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Backend, BackendError, BlobKey};

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
    fn size(&self, blob: &BlobKey) -> Result<Option<u64>, BackendError> {
        let path = self.path(blob)?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::File { path, error }),
        }
    }

    fn read(&self, blob: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        let path = self.path(blob)?;
        File::open(&path)
            .and_then(|file| file.read_exact_at(buffer, offset))
            .map_err(|error| BackendError::File { path, error })
    }
}
