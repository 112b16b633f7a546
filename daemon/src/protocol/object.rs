// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The descriptor of one object (`docs/spec/cachefiles-ondemand.md` section 4).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::{retry_on_intr, Errno};

use super::ioctl::{Ioctls, KernelIoctls};
use super::message::MsgId;

/// An open object: writes its cache file and completes its READs. Dropping it closes the
/// descriptor.
#[derive(Debug)]
pub struct Object {
    fd: OwnedFd,
    ioctls: Arc<dyn Ioctls>,
}

impl Object {
    /// An object whose ioctls go to `ioctls`.
    pub(super) fn new(fd: OwnedFd, ioctls: Arc<dyn Ioctls>) -> Self {
        Self { fd, ioctls }
    }

    /// Writes at `offset`, a multiple of [`PAGE`](super::PAGE), to the cache file by direct I/O: the
    /// length and the address of `bytes` must meet the alignment of its file system. Returns the
    /// number of bytes written, which can be less than the length of `bytes`.
    ///
    /// # Errors
    /// ENOBUFS: the offset is unaligned, the object is gone, or free space is below the cache's stop
    /// limit; EINVAL: unaligned for direct I/O; ENOSPC, EIO and others from the file system.
    pub fn pwrite(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        retry_on_intr(|| rustix::io::pwrite(&self.fd, bytes, offset))
    }

    /// Offset of the first byte at or after `offset` that is in the cache; `None` if there is none.
    ///
    /// # Errors
    /// ENOBUFS: the object is gone.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>, Errno> {
        self.seek(SeekFrom::Data(offset))
    }

    /// Offset of the first byte at or after `offset` that is missing from the cache, where the end of
    /// the file counts as missing; `None` if `offset` is at or past the end.
    ///
    /// # Errors
    /// ENOBUFS: the object is gone.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>, Errno> {
        self.seek(SeekFrom::Hole(offset))
    }

    fn seek(&self, to: SeekFrom) -> Result<Option<u64>, Errno> {
        match rustix::fs::seek(&self.fd, to) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Completes the READ `id` of this object. Readers of pages that are still missing then get EIO.
    ///
    /// # Errors
    /// EINVAL: there is no such request, it is not a READ, or it belongs to another object; ENOTTY:
    /// the descriptor is no cachefiles object.
    pub fn complete(&self, id: MsgId) -> Result<(), Errno> {
        self.ioctls.complete(self.as_fd(), id)
    }

    /// Completes the READ `id` of this object with `errno`, which its readers get. Bytes that were
    /// written for it stay in the cache. [`Features::READ_ERRORS`](super::Features::READ_ERRORS) must be enabled.
    ///
    /// # Errors
    /// EINVAL: the extension is disabled, or as for [`complete`](Self::complete); ENOTTY: the
    /// descriptor is no cachefiles object.
    pub fn fail(&self, id: MsgId, errno: Errno) -> Result<(), Errno> {
        self.ioctls.fail(self.as_fd(), id, errno)
    }
}

impl From<OwnedFd> for Object {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd, Arc::new(KernelIoctls))
    }
}

impl From<Object> for OwnedFd {
    fn from(object: Object) -> Self {
        object.fd
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_regular_file_completes_no_read() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let object = Object::from(OwnedFd::from(file));
        assert_eq!(object.fail(MsgId(0), Errno::NODATA), Err(Errno::NOTTY));
        assert_eq!(object.complete(MsgId(0)), Err(Errno::NOTTY));
    }
}
