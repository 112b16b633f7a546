// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The descriptor of one object (section 4): where its bytes are written. Dropping it closes it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::SeekFrom;
use rustix::io::{retry_on_intr, Errno};
use rustix::ioctl::{ioctl, IntegerSetter};

use super::message::MsgId;
use super::READ_COMPLETE;

/// An open object.
#[derive(Debug)]
pub struct Object(OwnedFd);

impl Object {
    /// Writes at `offset`, a multiple of [`PAGE`](super::PAGE), directly into the cache file: the
    /// length and the address of `bytes` must suit direct I/O of its file system. Returns how many
    /// bytes were written, which can be fewer than were given.
    ///
    /// # Errors
    /// ENOBUFS: the offset is not aligned, the object is gone, or space is below the cache's limit;
    /// EINVAL: not aligned for direct I/O; ENOSPC, EIO and others of the file system.
    pub fn pwrite(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        retry_on_intr(|| rustix::io::pwrite(&self.0, bytes, offset))
    }

    /// The first byte at or after `offset` that the cache has, or nothing after it.
    ///
    /// # Errors
    /// ENOBUFS: the object is gone.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>, Errno> {
        self.seek(SeekFrom::Data(offset))
    }

    /// The first byte at or after `offset` that the cache misses; the end of the file counts as
    /// missing. Nothing when `offset` is at or past the end.
    ///
    /// # Errors
    /// ENOBUFS: the object is gone.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>, Errno> {
        self.seek(SeekFrom::Hole(offset))
    }

    fn seek(&self, to: SeekFrom) -> Result<Option<u64>, Errno> {
        match rustix::fs::seek(&self.0, to) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Says that the READ `id` of this object was served as far as it will be. What is still
    /// missing then fails the reader with EIO.
    ///
    /// # Errors
    /// EINVAL: no such request, not a READ, or another object's.
    #[allow(unsafe_code)]
    pub fn complete(&self, id: MsgId) -> Result<(), Errno> {
        // SAFETY: READ_COMPLETE takes the id itself as its argument and any id is valid to ask for;
        // the kernel touches no memory of ours. A file that is no cachefiles object refuses the
        // number, whose direction bits let no driver write through the argument.
        unsafe {
            ioctl(
                &self.0,
                IntegerSetter::<READ_COMPLETE>::new_usize(id.0 as usize),
            )
        }
    }
}

impl From<OwnedFd> for Object {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Object> for OwnedFd {
    fn from(object: Object) -> Self {
        object.0
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
