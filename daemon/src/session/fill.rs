// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Bytes from the backend into the cache: whole pages, directly, only what is missing.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use thiserror::Error;

use super::buffer::Buffer;
use super::objects::Entry;
use super::statistics::{add, Counters};
use crate::backend::{Backend, BackendError, Blob};
use crate::plan::{Behaviour, Step};
use crate::protocol::{Object, PAGE};

/// Pages that are fetched and written at a time: 1 MiB.
const PIECE: usize = 256;

/// Why a range is not all in the cache.
#[derive(Debug, Error)]
pub enum FillError {
    /// No such object is open.
    #[error("the blob {0} is not open")]
    NotOpen(Blob),
    /// The bytes could not be had.
    #[error(transparent)]
    Fetch(#[from] BackendError),
    /// The cache's extents could not be read.
    #[error("looking for what the cache misses: {0}")]
    Seek(Errno),
    /// The bytes could not be written.
    #[error("writing to the cache at {offset}: {errno}")]
    Write {
        /// Where in the blob.
        offset: u64,
        /// ENOSPC and ENOBUFS: the cache's file system is full; or what it says.
        errno: Errno,
    },
}

impl FillError {
    /// What to tell a reader, when it is the backend that failed. What the cache's own file system says
    /// is not about the file that is read: a full disk must not look like one that is written to.
    pub(super) fn of_backend(&self) -> Option<Errno> {
        match self {
            Self::Fetch(error) => Some(error.errno()),
            Self::NotOpen(_) | Self::Seek(_) | Self::Write { .. } => None,
        }
    }
}

/// One thread's means to fill.
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
            buffer: Buffer::new(PIECE),
        }
    }

    /// Lets go after the piece during which `stopping` becomes true.
    pub(super) fn until(self, stopping: &'s AtomicBool) -> Self {
        Self {
            stopping: Some(stopping),
            ..self
        }
    }

    /// Brings `range` into the cache, rounded to whole pages; what lies past the blob's last page is
    /// left missing. Returns the bytes that were written.
    pub(super) fn fill(
        &mut self,
        entry: &Entry,
        range: Range<u64>,
        behaviour: &Behaviour,
    ) -> Result<u64, FillError> {
        let Some(&size) = entry.size.get() else {
            return Err(FillError::NotOpen(entry.blob.clone()));
        };
        let end = up(range.end.min(size));
        let mut at = down(range.start);
        let mut written = 0;
        while let Some(piece) = missing(&entry.object, at..end).map_err(FillError::Seek)? {
            if self
                .stopping
                .is_some_and(|stop| stop.load(Ordering::Relaxed))
            {
                break;
            }
            let len = piece.end.min(size) - piece.start;
            let bytes = &mut self.buffer.bytes()[..(piece.end - piece.start) as usize];
            let (data, padding) = bytes.split_at_mut(len as usize);
            self.backend.read(&entry.blob, piece.start, data)?;
            padding.fill(0);
            add(&self.counters.bytes_fetched, len);
            behaviour.reach(Step::BeforeWrite);
            write_all(&entry.object, bytes, piece.start)?;
            behaviour.reach(Step::AfterWrite);
            add(&self.counters.bytes_written, bytes.len() as u64);
            written += bytes.len() as u64;
            at = piece.end;
        }
        Ok(written)
    }
}

/// The first bytes of `range` that the cache misses, in whole pages and no more than a piece.
fn missing(object: &Object, range: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    if range.is_empty() {
        return Ok(None);
    }
    // From the end of the file on nothing is there.
    let hole = object.seek_hole(range.start)?.unwrap_or(range.start);
    let start = down(hole);
    if start >= range.end {
        return Ok(None);
    }
    let data = object.seek_data(hole)?.unwrap_or(range.end);
    let most = start + PIECE as u64 * PAGE;
    Ok(Some(start..up(data).min(range.end).min(most)))
}

/// Writes whole pages; the file system may take them in several parts.
fn write_all(object: &Object, mut bytes: &[u8], mut offset: u64) -> Result<(), FillError> {
    while !bytes.is_empty() {
        let failed = |errno| FillError::Write { offset, errno };
        let count = object.pwrite(bytes, offset).map_err(failed)?;
        // Direct I/O goes on at a page: a page that was taken in part is written again.
        let whole = count - count % PAGE as usize;
        if whole == 0 {
            return Err(failed(Errno::IO));
        }
        bytes = &bytes[whole..];
        offset += whole as u64;
    }
    Ok(())
}

fn down(offset: u64) -> u64 {
    offset - offset % PAGE
}

fn up(offset: u64) -> u64 {
    offset.next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests;
