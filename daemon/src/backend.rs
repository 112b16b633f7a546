// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Where the bytes of blobs come from.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

mod http;
mod local;

pub use http::{Http, HttpOptions};
pub use local::Local;

/// The name of a blob, as the kernel gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blob {
    /// The volume's key: `erofs,<fsid>` or `erofs,<domain_id>`.
    pub volume: Vec<u8>,
    /// The cookie's key: an fsid, or the tag of a device slot.
    pub cookie: Vec<u8>,
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}",
            self.cookie.escape_ascii(),
            self.volume.escape_ascii()
        )
    }
}

/// A place that has blobs. A blob does not change for as long as its name is in use.
pub trait Backend: Send + Sync {
    /// The size of a blob in bytes, or nothing when there is no such blob.
    ///
    /// # Errors
    /// It could not be found out.
    fn size(&self, blob: &Blob) -> Result<Option<u64>, BackendError>;

    /// Fills all of `buffer` with the blob's bytes from `offset` on, which the blob has.
    ///
    /// # Errors
    /// Not all bytes could be had; what `buffer` then holds means nothing.
    fn read(&self, blob: &Blob, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError>;
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn size(&self, blob: &Blob) -> Result<Option<u64>, BackendError> {
        (**self).size(blob)
    }

    fn read(&self, blob: &Blob, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        (**self).read(blob, offset, buffer)
    }
}

/// Why a backend does not have what was asked of it.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The cookie key would lead out of the directory.
    #[error("the blob {0} has a name that no file of one directory can have")]
    Name(Blob),
    /// The blob's file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The URL is none that blobs can be below of.
    #[error("{0:?} is not a URL like http://host/directory")]
    Base(String),
    /// What was there when the blob was opened is gone.
    #[error("{url}: the server answers 404, not found")]
    NotFound {
        /// The blob's address.
        url: String,
    },
    /// The server ignores ranges.
    #[error("{url}: asked for a range, the server answers 200 with the whole file; use a server with range requests")]
    NoRanges {
        /// The blob's address.
        url: String,
    },
    /// The server says that it sends something else than what was asked for.
    #[error("{url}: asked for bytes {}-{}, the server answers with Content-Range {got:?}", want.start(), want.end())]
    ContentRange {
        /// The blob's address.
        url: String,
        /// First and last byte that were asked for.
        want: RangeInclusive<u64>,
        /// What the server says that it sends, empty for nothing.
        got: String,
    },
    /// The body is not as long as the range.
    #[error("{url}: the body has {} than the {want} bytes that were asked for", if *longer { "more bytes" } else { "fewer bytes" })]
    Length {
        /// The blob's address.
        url: String,
        /// Bytes that were asked for.
        want: usize,
        /// Whether there are more of them.
        longer: bool,
    },
    /// Some other status.
    #[error("{url}: the server answers {status}")]
    Status {
        /// The blob's address.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// No answer.
    #[error("{url}: {error}")]
    Transport {
        /// The blob's address.
        url: String,
        /// What happened.
        error: Box<ureq::Error>,
    },
    /// The last of several failures.
    #[error("{error} (given up after {tries} tries)")]
    GivenUp {
        /// Tries in all.
        tries: u32,
        /// What ended the last one.
        error: Box<BackendError>,
    },
}

impl BackendError {
    /// The same for one who reads a file whose bytes these are. EIO where no errno says it better.
    pub fn errno(&self) -> Errno {
        match self {
            Self::File { error, .. } => of(error),
            Self::NotFound { .. } => Errno::NOENT,
            Self::Status { status, .. } => match status {
                401 | 403 => Errno::ACCESS,
                410 => Errno::NOENT,
                _ => Errno::IO,
            },
            Self::Transport { error, .. } => match &**error {
                ureq::Error::Io(error) => of(error),
                ureq::Error::Timeout(_) => Errno::TIMEDOUT,
                ureq::Error::HostNotFound => Errno::HOSTUNREACH,
                _ => Errno::IO,
            },
            Self::GivenUp { error, .. } => error.errno(),
            Self::Name(_)
            | Self::Base(_)
            | Self::NoRanges { .. }
            | Self::ContentRange { .. }
            | Self::Length { .. } => Errno::IO,
        }
    }
}

/// What the system said, unless a reader would take it as a request to repeat what he did.
fn of(error: &io::Error) -> Errno {
    match Errno::from_io_error(error) {
        None | Some(Errno::INTR | Errno::AGAIN) => Errno::IO,
        Some(errno) => errno,
    }
}
