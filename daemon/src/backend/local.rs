// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Blobs that are files of one directory, named by their cookie keys.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Backend, BackendError, Blob};

/// A directory of blobs.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    /// The blobs in `root`.
    ///
    /// # Errors
    /// `root` is not a directory that can be read.
    pub fn new(root: &Path) -> Result<Self, BackendError> {
        std::fs::read_dir(root).map_err(|error| BackendError::File {
            path: root.to_owned(),
            error,
        })?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn path(&self, blob: &Blob) -> Result<PathBuf, BackendError> {
        let name = &blob.cookie[..];
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(BackendError::Name(blob.clone()));
        }
        Ok(self.root.join(OsStr::from_bytes(name)))
    }
}

impl Backend for Local {
    fn size(&self, blob: &Blob) -> Result<Option<u64>, BackendError> {
        let path = self.path(blob)?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::File { path, error }),
        }
    }

    fn read(&self, blob: &Blob, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        let path = self.path(blob)?;
        File::open(&path)
            .and_then(|file| file.read_exact_at(buffer, offset))
            .map_err(|error| BackendError::File { path, error })
    }
}
