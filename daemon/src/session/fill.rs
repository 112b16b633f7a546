// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Filling the cache: fetches the missing pages of a range from the backend and writes them by direct
//! I/O.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use thiserror::Error;

use super::buffer::Buffer;
use super::objects::OpenObject;
use super::statistics::{add, Counters};
use crate::backend::{Backend, BackendError, BlobKey};
use crate::misbehaviour::{Actions, ServiceStep};
use crate::protocol::{Object, PAGE};

/// Pages that are fetched and written at a time: 1 MiB.
const MAX_RUN: usize = 256;

/// A range that could not be filled.
#[derive(Debug, Error)]
pub enum FillError {
    /// No object of this blob is open.
    #[error("the blob {0} is not open")]
    NotOpen(BlobKey),
    /// The backend could not fetch the bytes.
    #[error(transparent)]
    Fetch(#[from] BackendError),
    /// The missing pages could not be determined.
    #[error("looking for missing pages in the cache file: {0}")]
    Seek(Errno),
    /// The bytes could not be written.
    #[error("writing to the cache file at offset {offset}: {errno}")]
    Write {
        /// Offset in the blob, in bytes.
        offset: u64,
        /// ENOSPC and ENOBUFS: the file system of the cache is full; others are its own.
        errno: Errno,
    },
}

impl FillError {
    /// Errno for the readers, if the backend failed. An error of the cache's file system is none of
    /// theirs: a reader must not get ENOSPC from a read.
    pub(super) fn reader_errno(&self) -> Option<Errno> {
        match self {
            Self::Fetch(error) => Some(error.errno()),
            Self::NotOpen(_) | Self::Seek(_) | Self::Write { .. } => None,
        }
    }
}

/// Fills cache files for one thread, whose buffer it owns.
pub(super) struct Filler<'s> {
    backend: &'s dyn Backend,
    counters: &'s Counters,
    stopping: Option<&'s AtomicBool>,
    buffer: Buffer,
}

impl<'s> Filler<'s> {
    pub(super) fn new(backend: &'s dyn Backend, counters: &'s Counters) -> Self {
        Self {
            backend,
            counters,
            stopping: None,
            buffer: Buffer::new(MAX_RUN),
        }
    }

    /// Makes [`fill`](Self::fill) return before the next run of pages once `stopping` is true.
    pub(super) fn until(self, stopping: &'s AtomicBool) -> Self {
        Self {
            stopping: Some(stopping),
            ..self
        }
    }

    /// Fetches and writes the missing pages of `range`, which is rounded to whole pages and cut at the
    /// last page of the blob. Returns the number of bytes written.
    pub(super) fn fill(
        &mut self,
        open: &OpenObject,
        range: Range<u64>,
        actions: &Actions,
    ) -> Result<u64, FillError> {
        let Some(version) = open.version.get() else {
            return Err(FillError::NotOpen(open.blob.clone()));
        };
        let size = version.size;
        let end = round_up(range.end.min(size));
        let mut at = round_down(range.start);
        let mut written = 0;
        while let Some(run) = next_missing(&open.object, at..end).map_err(FillError::Seek)? {
            if self
                .stopping
                .is_some_and(|stop| stop.load(Ordering::Relaxed))
            {
                break;
            }
            let len = run.end.min(size) - run.start;
            let bytes = &mut self.buffer.bytes()[..(run.end - run.start) as usize];
            let (data, padding) = bytes.split_at_mut(len as usize);
            self.backend.read(&open.blob, version, run.start, data)?;
            padding.fill(0);
            add(&self.counters.bytes_fetched, len);
            actions.reach(ServiceStep::BeforeWrite);
            write_all(&open.object, bytes, run.start)?;
            actions.reach(ServiceStep::AfterWrite);
            add(&self.counters.bytes_written, bytes.len() as u64);
            written += bytes.len() as u64;
            at = run.end;
        }
        Ok(written)
    }
}

/// The first missing bytes of `range`, as at most [`MAX_RUN`] whole pages; `None` if all are cached.
fn next_missing(object: &Object, range: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    if range.is_empty() {
        return Ok(None);
    }
    // SEEK_HOLE fails at and past the end of the file, where everything is missing.
    let hole = object.seek_hole(range.start)?.unwrap_or(range.start);
    let start = round_down(hole);
    if start >= range.end {
        return Ok(None);
    }
    let data = object.seek_data(hole)?.unwrap_or(range.end);
    let limit = start + MAX_RUN as u64 * PAGE;
    Ok(Some(start..round_up(data).min(range.end).min(limit)))
}

/// Writes whole pages, by several calls if the file system writes only a part.
fn write_all(object: &Object, mut bytes: &[u8], mut offset: u64) -> Result<(), FillError> {
    while !bytes.is_empty() {
        let error = |errno| FillError::Write { offset, errno };
        let count = object.pwrite(bytes, offset).map_err(error)?;
        // Direct I/O continues at a page boundary, so a page that was written in part is written again.
        let whole = count - count % PAGE as usize;
        if whole == 0 {
            return Err(error(Errno::IO));
        }
        bytes = &bytes[whole..];
        offset += whole as u64;
    }
    Ok(())
}

fn round_down(offset: u64) -> u64 {
    offset - offset % PAGE
}

fn round_up(offset: u64) -> u64 {
    offset.next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests;
