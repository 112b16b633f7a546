// SPDX-License-Identifier: GPL-2.0

//! Cache files: where they lie, and writing them.
//!
//! C headers: [`include/linux/namei.h`](srctree/include/linux/namei.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::backing::{Backing, Credentials};
use crate::sys;
use core::{
    ops::{Deref, Range},
    ptr::NonNull,
};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
};

/// The most names that a path below a [`Store`] has.
const NAMES_MAX: usize = 4;
/// How often the page cache is emptied of a file that others read.
const TRIES: u32 = 4;

/// A directory that cache files are made in, as a certain user.
///
/// # Invariants
///
/// `dir` is a valid open directory and `cred` valid credentials; one reference
/// of each is owned.
pub(crate) struct Store {
    dir: NonNull<sys::file>,
    cred: *const sys::cred,
}

// SAFETY: Files and credentials may be used and released from any task.
unsafe impl Send for Store {}
// SAFETY: As above; nothing is changed through `&self`.
unsafe impl Sync for Store {}

/// What is left of a file system, in per cent.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) blocks: u64,
    pub(crate) files: u64,
}

impl Store {
    /// Opens a directory for the current user.
    ///
    /// # Errors
    ///
    /// What opening gives; EINVAL for an idmapped mount; EOPNOTSUPP if its file
    /// system lacks what cache files need; EROFS.
    pub(crate) fn open(path: &CStr) -> Result<Self> {
        let flags = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_LARGEFILE;
        // SAFETY: The path is NUL-terminated.
        let dir =
            from_err_ptr(unsafe { sys::filp_open(path.as_char_ptr(), flags.cast_signed(), 0) })?;
        let store = Self {
            dir: NonNull::new(dir).ok_or(EINVAL)?,
            // SAFETY: There is a current task, and it has credentials.
            cred: unsafe { sys::ondine_get_current_cred() },
        };
        // SAFETY: The directory is open.
        to_result(unsafe { sys::ondine_store_check(store.dir.as_ptr()) })?;
        Ok(store)
    }

    /// Tries whether cache files can be kept here.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP if the file system cannot write past the page cache, or does
    /// not tell holes from data; what making a file gives.
    pub(crate) fn probe(&self) -> Result {
        let _credentials = self.as_owner();
        // SAFETY: The directory is open.
        to_result(unsafe { sys::ondine_store_probe(self.dir.as_ptr()) })
    }

    /// Makes a directory in the directory, if it is not there.
    ///
    /// # Errors
    ///
    /// ENOTDIR if something else has the name; as `mkdir(2)`.
    pub(crate) fn make_directory(&self, name: &CStr) -> Result {
        let _credentials = self.as_owner();
        // SAFETY: The directory is open; the name is NUL-terminated.
        to_result(unsafe { sys::ondine_store_make_dir(self.dir.as_ptr(), name.as_char_ptr()) })
    }

    /// Opens the file at `names` below the directory, and makes what is
    /// missing on the way to it.
    ///
    /// # Errors
    ///
    /// What making and opening gives; as [`Backing::open`].
    pub(crate) fn file(&self, names: &[&CStr]) -> Result<CacheFile> {
        let mut raw = [core::ptr::null::<c_char>(); NAMES_MAX];
        if names.len() > raw.len() {
            return Err(EINVAL);
        }
        for (to, name) in raw.iter_mut().zip(names) {
            *to = name.as_char_ptr();
        }
        let _credentials = self.as_owner();
        // SAFETY: The directory is open; `names` are that many NUL-terminated
        // strings.
        let file = from_err_ptr(unsafe {
            sys::ondine_store_open(self.dir.as_ptr(), raw.as_ptr(), names.len() as c_uint)
        })?;
        // SAFETY: The call gave a reference.
        let backing = unsafe { Backing::from_owned(file) }?;
        // INVARIANT: It was opened for writing too.
        Ok(CacheFile(backing))
    }

    /// Finds what has this name in the current directory, which is this one or
    /// below it.
    ///
    /// The file itself is not opened: a FIFO would wait for its other end, and a
    /// device do what devices do.
    ///
    /// # Errors
    ///
    /// What looking up gives; EINVAL if it is not below this directory.
    pub(crate) fn look_up(&self, name: &CStr) -> Result<Found> {
        let flags = sys::O_PATH | sys::O_NOFOLLOW;
        // SAFETY: The name is NUL-terminated.
        let file =
            from_err_ptr(unsafe { sys::filp_open(name.as_char_ptr(), flags.cast_signed(), 0) })?;
        // INVARIANT: The call gave a reference.
        let found = Found(NonNull::new(file).ok_or(EINVAL)?);
        // SAFETY: Both are open.
        let is_below = unsafe { sys::ondine_store_is_below(found.0.as_ptr(), self.dir.as_ptr()) };
        is_below.then_some(found).ok_or(EINVAL)
    }

    /// Removes a file or empty directory that [`Self::look_up`] found.
    ///
    /// # Errors
    ///
    /// As `unlink(2)` and `rmdir(2)`; EINVAL if it has been moved or removed
    /// since.
    pub(crate) fn remove(&self, found: &Found) -> Result {
        // SAFETY: Both are open.
        to_result(unsafe { sys::ondine_store_remove(self.dir.as_ptr(), found.0.as_ptr()) })
    }

    /// How much room is left.
    ///
    /// # Errors
    ///
    /// What `statfs(2)` gives.
    pub(crate) fn room(&self) -> Result<Room> {
        let mut room = Room {
            blocks: 0,
            files: 0,
        };
        // SAFETY: The directory is open.
        to_result(unsafe {
            sys::ondine_store_room(self.dir.as_ptr(), &raw mut room.blocks, &raw mut room.files)
        })?;
        Ok(room)
    }

    fn as_owner(&self) -> Credentials {
        // SAFETY: The credentials outlive the guard, which is used in `self`'s
        // methods only.
        unsafe { Credentials::of(self.cred) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe {
            sys::fput(self.dir.as_ptr());
            sys::ondine_put_cred(self.cred);
        }
    }
}

/// What a name stands for.
///
/// # Invariants
///
/// The file is valid, and one reference of it is owned.
pub(crate) struct Found(NonNull<sys::file>);

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { sys::fput(self.0.as_ptr()) };
    }
}

/// A cache file: a regular file, open for reading and writing.
///
/// # Invariants
///
/// The file is open for writing.
pub(crate) struct CacheFile(Backing);

impl Deref for CacheFile {
    type Target = Backing;

    fn deref(&self) -> &Backing {
        &self.0
    }
}

impl CacheFile {
    /// Whether `other` is the same file, or a directory that it is in.
    pub(crate) fn is_in(&self, other: &Found) -> bool {
        // SAFETY: Both files are valid.
        unsafe { sys::ondine_store_is_in(self.as_raw(), other.0.as_ptr()) }
    }

    /// Writes what `iter` has at `position`, past the page cache, and returns
    /// how much. When this returns, nobody finds older bytes there.
    ///
    /// # Errors
    ///
    /// What direct writing gives: EINVAL for a position, a length or a buffer
    /// that is not aligned enough.
    ///
    /// # Safety
    ///
    /// `iter` is a valid source that nobody else uses.
    pub(crate) unsafe fn write(&self, iter: *mut sys::iov_iter, position: u64) -> Result<u64> {
        let position = position.try_into()?;
        let _credentials = self.as_opener();
        // SAFETY: By the caller; the file is open for writing.
        let written = unsafe { sys::ondine_store_write(self.as_raw(), iter, position) };
        u64::try_from(written).map_err(|_| Error::from_errno(written as c_int))
    }

    /// Moves the position that `lseek(2)` moves, and returns it.
    ///
    /// # Errors
    ///
    /// As `lseek(2)`.
    pub(crate) fn seek(&self, offset: i64, whence: c_int) -> Result<i64> {
        // SAFETY: The file is valid. Nothing of ours uses its position.
        let found = unsafe { sys::vfs_llseek(self.as_raw(), offset, whence) };
        if found < 0 {
            return Err(Error::from_errno(found as c_int));
        }
        Ok(found)
    }

    /// Moves that position to `position`, and returns it.
    ///
    /// # Errors
    ///
    /// As `lseek(2)`.
    pub(crate) fn move_to(&self, position: u64) -> Result<i64> {
        self.seek(position.try_into()?, sys::SEEK_SET.cast_signed())
    }

    /// Moves it to where data, or a hole, begins at or after `from`, as the file
    /// system sees it.
    ///
    /// # Errors
    ///
    /// ENXIO if there is none; as `lseek(2)`.
    pub(crate) fn find(&self, from: u64, data: bool) -> Result<i64> {
        let whence = if data { sys::SEEK_DATA } else { sys::SEEK_HOLE };
        self.seek(from.try_into()?, whence.cast_signed())
    }

    /// The extents of data that are on the disk.
    ///
    /// Of blocks that are allocated and not written, as a crash in the middle of
    /// a write leaves them, file systems call data what is in the page cache:
    /// zeros that somebody's read has put there. So nothing may be. Where others
    /// keep reading the file, no extent is given: all of it is as good as
    /// missing.
    ///
    /// # Errors
    ///
    /// What `lseek(2)` gives; ENOMEM.
    pub(crate) fn extents(&self) -> Result<KVVec<Range<u64>>> {
        for _ in 0..TRIES {
            let mut extents = KVVec::new();
            // SAFETY: The file is valid, here and below.
            unsafe { sys::ondine_store_forget(self.as_raw()) };
            let mut from = 0;
            while let Some(extent) = self.data(from)? {
                from = extent.end;
                extents.push(extent, GFP_KERNEL)?;
            }
            // SAFETY: As above.
            if !unsafe { sys::ondine_store_is_cached(self.as_raw()) } {
                return Ok(extents);
            }
        }
        Ok(KVVec::new())
    }

    /// The first extent of data at or after `from`; `None` if there is none.
    fn data(&self, from: u64) -> Result<Option<Range<u64>>> {
        let start = match self.find(from, true) {
            Ok(start) => start.cast_unsigned(),
            Err(error) if error == ENXIO => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = self.find(start, false)?.cast_unsigned();
        Ok((end > start).then_some(start..end))
    }

    /// Cuts the file, or lets it end in a hole.
    ///
    /// # Errors
    ///
    /// As `ftruncate(2)`.
    pub(crate) fn resize(&self, size: u64) -> Result {
        let size = size.try_into()?;
        let _credentials = self.as_opener();
        // SAFETY: The file is valid and open for writing.
        to_result(unsafe { sys::ondine_store_resize(self.as_raw(), size) })
    }

    /// Reads an extended attribute: its length, if it fits into `value`.
    ///
    /// # Errors
    ///
    /// As `getxattr(2)`.
    pub(crate) fn attribute(&self, name: &CStr, value: &mut [u8]) -> Result<usize> {
        let _credentials = self.as_opener();
        // SAFETY: The file, the name and the buffer are valid.
        let len = unsafe {
            sys::ondine_store_get_xattr(
                self.as_raw(),
                name.as_char_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        };
        usize::try_from(len).map_err(|_| Error::from_errno(len as c_int))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// As `setxattr(2)`.
    pub(crate) fn set_attribute(&self, name: &CStr, value: &[u8]) -> Result {
        let _credentials = self.as_opener();
        // SAFETY: As above.
        to_result(unsafe {
            sys::ondine_store_set_xattr(
                self.as_raw(),
                name.as_char_ptr(),
                value.as_ptr().cast(),
                value.len(),
            )
        })
    }
}
