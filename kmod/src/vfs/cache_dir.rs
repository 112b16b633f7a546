// SPDX-License-Identifier: GPL-2.0

//! Directories of cache files, and I/O on cache files.
//!
//! C headers: [`include/linux/namei.h`](srctree/include/linux/namei.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    backing::{Backing, Unfit},
    credentials::Credentials,
};
use crate::sys;
use core::{
    ops::{Deref, Range},
    ptr::NonNull,
};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
};

/// Most names of a path below a [`CacheDir`].
const NAMES_MAX: usize = 4;
/// Attempts to empty the page cache of a file that others are reading.
const TRIES: u32 = 4;

/// A directory for cache files, and the credentials to access it with.
///
/// # Invariants
///
/// `dir` is an open directory and `cred` valid credentials; `self` owns a
/// reference to each.
pub(crate) struct CacheDir {
    dir: NonNull<sys::file>,
    cred: *const sys::cred,
}

// SAFETY: Files and credentials may be used and released from any task.
unsafe impl Send for CacheDir {}
// SAFETY: The functions that `&self` is passed to take the locks of the
// directory's file system.
unsafe impl Sync for CacheDir {}

/// Free part of a file system, in per cent.
#[derive(Clone, Copy)]
pub(crate) struct FreeSpace {
    pub(crate) blocks: u64,
    pub(crate) files: u64,
}

impl CacheDir {
    /// Opens a directory, to be accessed with the credentials of the current
    /// task.
    ///
    /// # Errors
    ///
    /// Errors of `open(2)`; EINVAL for an idmapped mount; EOPNOTSUPP if the file
    /// system lacks an operation that cache files need; EROFS; EPERM if others than
    /// the current user and root may write to the directory.
    pub(crate) fn open(path: &CStr) -> Result<Self, Unfit> {
        let flags = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_LARGEFILE;
        // SAFETY: The path is NUL-terminated.
        let file =
            from_err_ptr(unsafe { sys::filp_open(path.as_char_ptr(), flags.cast_signed(), 0) })?;
        let dir = Self {
            dir: NonNull::new(file).ok_or(EINVAL)?,
            // SAFETY: There is a current task, and it has credentials.
            cred: unsafe { sys::ondine_get_current_cred() },
        };
        let mut why = c"".as_char_ptr();
        // SAFETY: The directory is open.
        let ret = unsafe { sys::ondine_cache_dir_check(dir.dir.as_ptr(), &raw mut why) };
        // SAFETY: The call has set the reason.
        to_result(ret).map_err(|error| unsafe { unfit(error, why) })?;
        Ok(dir)
    }

    /// Checks on a temporary file that the file system can hold cache files.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP if the file system has no direct I/O, does not report or make
    /// holes, or is one that no [`Backing`] may be on; those of `open(2)` with
    /// `O_TMPFILE`.
    pub(crate) fn probe(&self) -> Result<(), Unfit> {
        let _credentials = self.as_owner();
        let mut why = c"".as_char_ptr();
        // SAFETY: The directory is open.
        let file = unsafe { sys::ondine_cache_dir_tmpfile(self.dir.as_ptr(), &raw mut why) };
        // SAFETY: The call has set the reason.
        let file = from_err_ptr(file).map_err(|error| unsafe { unfit(error, why) })?;
        // SAFETY: The call returned a reference.
        let file = unsafe { Backing::from_owned(file) }
            .map_err(|found| Unfit::new(EOPNOTSUPP, found.reason()))?;
        // SAFETY: The file is open for writing.
        let ret = unsafe { sys::ondine_cache_file_probe(file.as_raw(), &raw mut why) };
        // SAFETY: The call has set the reason.
        to_result(ret).map_err(|error| unsafe { unfit(error, why) })
    }

    /// Creates the directory `name` in the directory, unless it exists.
    ///
    /// # Errors
    ///
    /// ENOTDIR if the name is taken by a file, EPERM by a directory that others may
    /// write to; errors of `mkdir(2)`.
    pub(crate) fn make_directory(&self, name: &CStr) -> Result {
        let _credentials = self.as_owner();
        // SAFETY: The directory is open; the name is NUL-terminated.
        to_result(unsafe { sys::ondine_cache_dir_make_dir(self.dir.as_ptr(), name.as_char_ptr()) })
    }

    /// Opens the file at `names` below the directory for reading and writing.
    /// Creates the file and the directories on the way to it if they do not
    /// exist.
    ///
    /// # Errors
    ///
    /// EINVAL for more than [`NAMES_MAX`] names; EPERM if others may write to a
    /// directory or the file; errors of `mkdir(2)` and `open(2)`; as
    /// [`Backing::open`].
    pub(crate) fn file(&self, names: &[&CStr]) -> Result<CacheFile, Unfit> {
        let mut raw = [core::ptr::null::<c_char>(); NAMES_MAX];
        if names.len() > raw.len() {
            return Err(EINVAL.into());
        }
        for (to, name) in raw.iter_mut().zip(names) {
            *to = name.as_char_ptr();
        }
        let _credentials = self.as_owner();
        // SAFETY: The directory is open; `names` are that many NUL-terminated
        // strings.
        let file = from_err_ptr(unsafe {
            sys::ondine_cache_dir_open(self.dir.as_ptr(), raw.as_ptr(), names.len() as c_uint)
        })?;
        // SAFETY: The call gave a reference.
        let backing = unsafe { Backing::from_owned(file) }?;
        // INVARIANT: It was opened for writing too.
        Ok(CacheFile(backing))
    }

    /// Looks up a name in the current directory of the task, which is this
    /// directory or one below it.
    ///
    /// The file is not opened for I/O: opening a FIFO would wait for its other
    /// end, and opening a device has side effects.
    ///
    /// # Errors
    ///
    /// Errors of `open(2)`; EINVAL if it is not below this directory.
    pub(crate) fn look_up(&self, name: &CStr) -> Result<CacheDirEntry> {
        let flags = sys::O_PATH | sys::O_NOFOLLOW;
        // SAFETY: The name is NUL-terminated.
        let file =
            from_err_ptr(unsafe { sys::filp_open(name.as_char_ptr(), flags.cast_signed(), 0) })?;
        // INVARIANT: The call returned a reference.
        let found = CacheDirEntry(NonNull::new(file).ok_or(EINVAL)?);
        // SAFETY: Both are open.
        let is_below =
            unsafe { sys::ondine_cache_file_is_below(found.0.as_ptr(), self.dir.as_ptr()) };
        is_below.then_some(found).ok_or(EINVAL)
    }

    /// Removes a file or an empty directory that [`Self::look_up`] returned.
    ///
    /// # Errors
    ///
    /// Errors of `unlink(2)` and `rmdir(2)`; EINVAL if it was renamed or removed
    /// meanwhile.
    pub(crate) fn remove(&self, found: &CacheDirEntry) -> Result {
        // SAFETY: Both are open.
        to_result(unsafe { sys::ondine_cache_dir_remove(self.dir.as_ptr(), found.0.as_ptr()) })
    }

    /// Free part of the file system.
    ///
    /// # Errors
    ///
    /// Errors of `statfs(2)`.
    pub(crate) fn free_space(&self) -> Result<FreeSpace> {
        let mut space = FreeSpace {
            blocks: 0,
            files: 0,
        };
        // SAFETY: The directory is open.
        to_result(unsafe {
            sys::ondine_cache_dir_free_space(
                self.dir.as_ptr(),
                &raw mut space.blocks,
                &raw mut space.files,
            )
        })?;
        Ok(space)
    }

    fn as_owner(&self) -> Credentials<'_> {
        // SAFETY: `self` owns a reference to the credentials, and the result
        // borrows it.
        unsafe { Credentials::of(self.cred) }
    }
}

/// # Safety
///
/// `why` is a constant, NUL-terminated string of the module.
unsafe fn unfit(error: Error, why: *const c_char) -> Unfit {
    // SAFETY: By the caller; the module is in use while its code runs.
    let why: Result<&'static str, _> = unsafe { CStr::from_char_ptr(why) }.to_str();
    Unfit::new(error, why.unwrap_or("cannot hold cache files"))
}

impl Drop for CacheDir {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe {
            sys::fput(self.dir.as_ptr());
            sys::ondine_put_cred(self.cred);
        }
    }
}

/// A file or directory below a [`CacheDir`].
///
/// # Invariants
///
/// The file is valid, and `self` owns a reference to it.
pub(crate) struct CacheDirEntry(NonNull<sys::file>);

impl Drop for CacheDirEntry {
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
    /// Returns whether `other` is the same file, or a directory that contains it.
    pub(crate) fn is_in(&self, other: &CacheDirEntry) -> bool {
        // SAFETY: Both files are valid.
        unsafe { sys::ondine_cache_file_is_in(self.as_raw(), other.0.as_ptr()) }
    }

    /// Writes up to `len` bytes of `iter` at `position` by direct I/O, and returns
    /// their number. No later read returns older bytes. After an error, some of the
    /// bytes may be in the file.
    ///
    /// # Errors
    ///
    /// Errors of a direct write: EINVAL for a position, a length or a buffer that
    /// is not aligned.
    ///
    /// # Safety
    ///
    /// `iter` is a valid source, which only this call uses.
    pub(crate) unsafe fn write(
        &self,
        iter: *mut sys::iov_iter,
        position: u64,
        len: u64,
    ) -> Result<u64> {
        let position = position.try_into()?;
        let _credentials = self.as_opener();
        // SAFETY: By the caller; the file is open for writing.
        let written = unsafe {
            sys::ondine_iov_iter_truncate(iter, len);
            sys::ondine_cache_file_write(self.as_raw(), iter, position)
        };
        u64::try_from(written).map_err(|_| Error::from_errno(written as c_int))
    }

    /// Moves the file position, as `lseek(2)` does, and returns it.
    ///
    /// # Errors
    ///
    /// Errors of `lseek(2)`.
    pub(crate) fn seek(&self, offset: i64, whence: c_int) -> Result<i64> {
        // SAFETY: The file is valid; the position is moved under its lock.
        let found = unsafe { sys::ondine_cache_file_seek(self.as_raw(), offset, whence) };
        if found < 0 {
            return Err(Error::from_errno(found as c_int));
        }
        Ok(found)
    }

    /// Moves the file position to `position`, and returns it.
    ///
    /// # Errors
    ///
    /// Errors of `lseek(2)`.
    pub(crate) fn move_to(&self, position: u64) -> Result<i64> {
        self.seek(position.try_into()?, sys::SEEK_SET.cast_signed())
    }

    /// Moves the file position to the first data (or hole) at or after `from`, as
    /// the file system reports it, and returns it.
    ///
    /// # Errors
    ///
    /// ENXIO if there is none; errors of `lseek(2)`.
    pub(crate) fn find(&self, from: u64, data: bool) -> Result<i64> {
        let whence = if data { sys::SEEK_DATA } else { sys::SEEK_HOLE };
        self.seek(from.try_into()?, whence.cast_signed())
    }

    /// The extents of data that are on the disk, in bytes.
    ///
    /// A crash during a write leaves blocks that are allocated and not written.
    /// File systems report such a block as data if it is in the page cache, as
    /// zeros, because some task has read it. So the page cache is emptied first.
    /// If others keep reading the file, no extent is returned: all pages count as
    /// missing.
    ///
    /// # Errors
    ///
    /// Errors of `lseek(2)`; ENOMEM.
    pub(crate) fn extents(&self) -> Result<KVVec<Range<u64>>> {
        for _ in 0..TRIES {
            let mut extents = KVVec::new();
            // SAFETY: The file is valid, here and below.
            unsafe { sys::ondine_cache_file_forget(self.as_raw()) };
            let mut from = 0;
            while let Some(extent) = self.data(from)? {
                from = extent.end;
                extents.push(extent, GFP_KERNEL)?;
            }
            // SAFETY: As above.
            if !unsafe { sys::ondine_cache_file_is_cached(self.as_raw()) } {
                return Ok(extents);
            }
        }
        Ok(KVVec::new())
    }

    /// The first extent of data at or after `from`, in bytes; `None` if there is
    /// none.
    fn data(&self, from: u64) -> Result<Option<Range<u64>>> {
        let start = match self.find(from, true) {
            Ok(start) => start.cast_unsigned(),
            Err(error) if error == ENXIO => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = self.find(start, false)?.cast_unsigned();
        Ok((end > start).then_some(start..end))
    }

    /// Makes a hole of the bytes `range`.
    ///
    /// # Errors
    ///
    /// Errors of `fallocate(2)`.
    pub(crate) fn punch(&self, range: Range<u64>) -> Result {
        let len = range.end.saturating_sub(range.start).try_into()?;
        let offset = range.start.try_into()?;
        let _credentials = self.as_opener();
        // SAFETY: The file is valid and open for writing.
        to_result(unsafe { sys::ondine_cache_file_punch(self.as_raw(), offset, len) })
    }

    /// Truncates the file, or extends it by a hole.
    ///
    /// # Errors
    ///
    /// Errors of `ftruncate(2)`.
    pub(crate) fn resize(&self, size: u64) -> Result {
        let size = size.try_into()?;
        let _credentials = self.as_opener();
        // SAFETY: The file is valid and open for writing.
        to_result(unsafe { sys::ondine_cache_file_resize(self.as_raw(), size) })
    }

    /// Reads an extended attribute into `value`, and returns its length.
    ///
    /// # Errors
    ///
    /// Errors of `getxattr(2)`: ERANGE if `value` is too small.
    pub(crate) fn attribute(&self, name: &CStr, value: &mut [u8]) -> Result<usize> {
        let _credentials = self.as_opener();
        // SAFETY: The file, the name and the buffer are valid.
        let len = unsafe {
            sys::ondine_cache_file_get_xattr(
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
    /// Errors of `setxattr(2)`.
    pub(crate) fn set_attribute(&self, name: &CStr, value: &[u8]) -> Result {
        let _credentials = self.as_opener();
        // SAFETY: As above.
        to_result(unsafe {
            sys::ondine_cache_file_set_xattr(
                self.as_raw(),
                name.as_char_ptr(),
                value.as_ptr().cast(),
                value.len(),
            )
        })
    }
}
