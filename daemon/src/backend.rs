// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sources of blobs: the bytes that the daemon fetches and the kernel caches.
//!
//! | type | stands for |
//! | --- | --- |
//! | [`BlobKey`] | the name of a blob, from the OPEN message |
//! | [`Version`] | the size and the identity of a blob's contents |
//! | [`Backend`] | a source of blobs: their versions and their bytes |
//! | [`Passing`] | whether a failure may pass by itself |
//! | [`Local`] | the files of one directory |
//! | [`Http`] | a server with range requests |
//!
//! This module knows nothing of the kernel.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

mod http;
mod local;
mod proxy;

pub use http::{Http, HttpOptions};
pub use local::Local;

/// The name of a blob: the two keys of its OPEN message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey {
    /// Key of the volume: `erofs,<fsid>` or `erofs,<domain_id>`.
    pub volume: Vec<u8>,
    /// Key of the cookie: an fsid, or the tag of a device slot.
    pub cookie: Vec<u8>,
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}",
            self.cookie.escape_ascii(),
            self.volume.escape_ascii()
        )
    }
}

/// The size of a blob's contents, and what tells them from other contents of the same name and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Size in bytes.
    pub size: u64,
    /// Identity in one line: the ETag of a server, the inode and mtime of a file. Equal contents may
    /// have different identities, but the same identity means the same contents.
    pub identity: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.size, self.identity)
    }
}

/// A source of blobs. The contents of a blob may be replaced at any time: each read tells.
pub trait Backend: Send + Sync {
    /// The version that a blob has now; `None` if there is no such blob.
    ///
    /// # Errors
    /// The version could not be determined.
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError>;

    /// Fills all of `buffer` with the bytes of this version of the blob from `offset` on. The blob must
    /// have as many.
    ///
    /// # Errors
    /// Not all bytes could be fetched, or the blob has another version now
    /// ([`BackendError::Changed`]). The contents of `buffer` are then unspecified.
    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError>;
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        (**self).version(blob)
    }

    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        (**self).read(blob, version, offset, buffer)
    }
}

/// A failed call of a [`Backend`].
#[derive(Debug, Error)]
pub enum BackendError {
    /// The cookie key is no name of a file in one directory.
    #[error("the key of blob {0} is not a file name")]
    Name(BlobKey),
    /// The file of the blob cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The blob has another version than when it was opened.
    #[error("{name}: the contents changed from {opened}, to {now}. Unmount all images that use this blob and mount them again: that drops its cached bytes")]
    Changed {
        /// URL or path of the blob.
        name: String,
        /// The version when it was opened.
        opened: Version,
        /// The version now.
        now: Version,
    },
    /// The base URL is not an http or https URL.
    #[error("{0:?} is not a URL such as http://host/directory")]
    Base(String),
    /// An environment variable for a proxy is not the URL of one.
    #[error("the environment names a proxy {0:?}, which is not a URL such as http://host:port")]
    Proxy(String),
    /// The blob is gone, although it existed when it was opened.
    #[error("{url}: the server answers 404, not found")]
    NotFound {
        /// URL of the blob.
        url: String,
    },
    /// The server does not support range requests.
    #[error("{url}: the server answers a range request with 200 and the whole file; use a server that supports range requests")]
    NoRanges {
        /// URL of the blob.
        url: String,
    },
    /// The server sends another range than the requested one.
    #[error("{url}: requested bytes {}-{}, but the server answers with Content-Range {got:?}", want.start(), want.end())]
    ContentRange {
        /// URL of the blob.
        url: String,
        /// First and last requested byte.
        want: RangeInclusive<u64>,
        /// The Content-Range of the answer, empty if there is none.
        got: String,
    },
    /// The body is longer or shorter than the requested range.
    #[error("{url}: the body is {} than the {want} requested bytes", if *longer { "longer" } else { "shorter" })]
    Length {
        /// URL of the blob.
        url: String,
        /// Number of requested bytes.
        want: usize,
        /// True if the body is longer.
        longer: bool,
    },
    /// The server answers with an unexpected status.
    #[error("{url}: the server answers {status}")]
    Status {
        /// URL of the blob.
        url: String,
        /// HTTP status.
        status: u16,
        /// Time after which the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The request failed without an answer.
    #[error("{url}: {error}")]
    Transport {
        /// URL of the blob.
        url: String,
        /// The cause.
        error: Box<ureq::Error>,
    },
}

/// A failure that may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The backend is away, or busy, or asks for patience: not to be asked again before this time.
    Later(Duration),
    /// The answer is wrong, but a cache between may answer otherwise once it is filled.
    Perhaps,
}

impl BackendError {
    /// Returns whether a repeated call may succeed; `None` for a failure that is final.
    ///
    /// 401, 403 and 404 are final: a request has no signature that could be renewed, and a blob whose
    /// URL is wrong should be told at once.
    pub fn passing(&self) -> Option<Passing> {
        let now = Passing::Later(Duration::ZERO);
        match self {
            Self::Transport { error, .. } => matches!(
                **error,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::HostNotFound
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::Protocol(_)
            )
            .then_some(now),
            Self::Length { longer: false, .. } => Some(now),
            Self::Status {
                status: 408 | 429 | 500..,
                retry_after,
                ..
            } => Some(Passing::Later(retry_after.unwrap_or_default())),
            Self::NoRanges { .. } | Self::ContentRange { .. } => Some(Passing::Perhaps),
            _ => None,
        }
    }

    /// Errno for readers of files in this blob; EIO if none fits better.
    pub fn errno(&self) -> Errno {
        match self {
            Self::File { error, .. } => io_errno(error),
            Self::NotFound { .. } => Errno::NOENT,
            Self::Changed { .. } => Errno::STALE,
            Self::Status { status, .. } => match status {
                401 | 403 => Errno::ACCESS,
                410 => Errno::NOENT,
                _ => Errno::IO,
            },
            Self::Transport { error, .. } => match &**error {
                ureq::Error::Io(error) => io_errno(error),
                ureq::Error::Timeout(_) => Errno::TIMEDOUT,
                ureq::Error::HostNotFound => Errno::HOSTUNREACH,
                _ => Errno::IO,
            },
            Self::Name(_)
            | Self::Base(_)
            | Self::Proxy(_)
            | Self::NoRanges { .. }
            | Self::ContentRange { .. }
            | Self::Length { .. } => Errno::IO,
        }
    }
}

/// Errno of `error`. EINTR and EAGAIN become EIO, because they would make a reader repeat its call.
fn io_errno(error: &io::Error) -> Errno {
    match Errno::from_io_error(error) {
        None | Some(Errno::INTR | Errno::AGAIN) => Errno::IO,
        Some(errno) => errno,
    }
}
