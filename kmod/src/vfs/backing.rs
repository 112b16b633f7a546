// SPDX-License-Identifier: GPL-2.0

//! Files and block devices that hold an image's bytes.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h),
//! [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use super::{credentials::Credentials, folio::MetaSlice, iov_iter::IovIter};
use crate::sys;
use core::{
    mem::MaybeUninit,
    ptr::{self, NonNull},
};
use kernel::{error::from_err_ptr, page::PAGE_SIZE, prelude::*, types::Opaque};

/// Magic number of EROFS super blocks, those of the C driver and ours.
pub(crate) const EROFS_MAGIC: u64 = 0xE0F5_E1E2;

/// Returns whether `error`, of a direct read, means that the same read succeeds
/// through the page cache: the file system has alignment rules that it did not
/// tell, or no direct I/O for this file.
pub(super) fn refuses_direct(error: Error) -> bool {
    error == EINVAL || error == ENOTBLK || error == EOPNOTSUPP
}

/// The reason for which a file cannot be a [`Backing`].
pub(crate) struct Unfit {
    error: Error,
    reason: &'static str,
}

impl Unfit {
    pub(crate) const fn new(error: Error, reason: &'static str) -> Self {
        Self { error, reason }
    }

    /// The errno.
    pub(crate) fn error(&self) -> Error {
        self.error
    }

    /// The defect, as words that follow the name of the file.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Logs, rate-limited, what is wrong with the file `name`. Returns the errno.
    pub(crate) fn log(&self, name: &[u8]) -> Error {
        // SAFETY: Both strings are passed with their lengths, and not kept.
        unsafe {
            sys::ondine_log_refusal(
                name.as_ptr().cast(),
                name.len() as c_int,
                self.reason.as_ptr().cast(),
                self.reason.len() as c_int,
                self.error.to_errno(),
            )
        };
        self.error
    }
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::new(error, "cannot be opened")
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        unfit.error
    }
}

/// Kind of file of a [`Backing`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackingKind {
    /// A regular file, read through its own file system.
    Regular,
    /// A block device.
    Device,
}

/// An open, readable file or block device.
///
/// # Invariants
///
/// - `file` is valid and was opened for reading; `self` owns a reference to it,
///   and with `claimed` also the claim of an opened block device.
/// - `readahead` is initialised for the mapping of the file.
pub(crate) struct Backing {
    file: NonNull<sys::file>,
    kind: BackingKind,
    claimed: bool,
    /// Alignment of direct reads, a power of two and at least a page; 0 if there
    /// are none.
    direct_align: u32,
    /// Alignment of memory for direct reads, a power of two.
    direct_mem_align: u32,
    /// Readahead state of metadata reads, shared by concurrent readers like
    /// `f_ra`.
    readahead: Opaque<sys::file_ra_state>,
}

// SAFETY: `struct file` may be used and released from any task.
unsafe impl Send for Backing {}
// SAFETY: What `&self` allows, here and in `CacheFile`, is what tasks that share a
// file may do concurrently: reading, writing, truncating and extended attributes,
// for which the file system takes its locks, and moving the position, which
// `CacheFile::seek` does under `f_pos_lock`. `readahead` has the heuristics of
// `f_ra`, which concurrent readers share without a lock, and which the page cache
// bounds on each use.
unsafe impl Sync for Backing {}

impl Backing {
    /// Opens a regular file for reading, with the credentials of the current
    /// task.
    ///
    /// # Errors
    ///
    /// Errors of `open(2)`; EINVAL if it is not a regular file or cannot be read
    /// through the page cache; ENOTBLK if its file system is stacked on another
    /// one.
    pub(crate) fn open(path: &CStr) -> Result<Self, Unfit> {
        // SAFETY: The path is NUL-terminated.
        let file = from_err_ptr(unsafe {
            sys::filp_open(
                path.as_char_ptr(),
                (sys::O_RDONLY | sys::O_LARGEFILE).cast_signed(),
                0,
            )
        })?;
        // SAFETY: filp_open() returned a reference to a file that no other task
        // has. O_NOATIME: reading an image is no access to the file that contains
        // it.
        unsafe {
            (*file).f_flags |= sys::O_NOATIME;
            Self::from_owned(file)
        }
    }

    /// Opens a block device for reading. Opens with equal `holder` share the
    /// device.
    ///
    /// # Errors
    ///
    /// Errors of `open(2)`; ENOTBLK if it is not a block device.
    pub(super) fn open_device(path: &CStr, holder: *mut c_void) -> Result<Self, Unfit> {
        // SAFETY: The path is NUL-terminated; the holder is only compared.
        let file = from_err_ptr(unsafe {
            sys::bdev_file_open_by_path(
                path.as_char_ptr(),
                sys::ONDINE_CONST_BLK_OPEN_READ,
                holder,
                ptr::null(),
            )
        })?;
        // SAFETY: The call returned a reference and, with a holder, a claim.
        let mut backing = unsafe { Self::from_owned(file) }?;
        backing.claimed = true;
        Ok(backing)
    }

    /// Takes over a reference to a file.
    ///
    /// # Errors
    ///
    /// EBADF if the file is not open for reading; EINVAL and ENOTBLK as
    /// [`Self::open`].
    ///
    /// # Safety
    ///
    /// `file` is valid, and the caller gives up one reference.
    pub(super) unsafe fn from_owned(file: *mut sys::file) -> Result<Self, Unfit> {
        let mut backing = Self {
            file: NonNull::new(file).ok_or(EINVAL)?,
            kind: BackingKind::Regular,
            claimed: false,
            direct_align: 0,
            direct_mem_align: PAGE_SIZE as u32,
            readahead: Opaque::zeroed(),
        };
        // From here on `backing` releases the file on failure.
        // SAFETY: The file is valid, and holds its inode, mapping and super
        // block.
        unsafe {
            // An `O_PATH` descriptor of a block device refers to the mapping of
            // its device node, not of the device.
            if (*file).f_mode & sys::ONDINE_CONST_FMODE_READ == 0 {
                return Err(Unfit::new(EBADF, "is not open for reading"));
            }
            let inode = (*(*file).f_mapping).host;
            match u32::from((*inode).i_mode) & sys::S_IFMT {
                sys::S_IFREG => {
                    backing.check_regular(inode)?;
                    let mem_align = &raw mut backing.direct_mem_align;
                    backing.direct_align = sys::ondine_direct_align(file, mem_align);
                }
                sys::S_IFBLK => backing.kind = BackingKind::Device,
                _ => {
                    let reason = "is neither a regular file nor a block device";
                    return Err(Unfit::new(EINVAL, reason));
                }
            }
            sys::file_ra_state_init(backing.readahead.get(), (*file).f_mapping);
        }
        Ok(backing)
    }

    /// Checks that a regular file can hold an image.
    ///
    /// # Safety
    ///
    /// `inode` is the inode of `self.file`.
    unsafe fn check_regular(&self, inode: *mut sys::inode) -> Result<(), Unfit> {
        // SAFETY: By the caller, here and below.
        unsafe {
            let sb = (*inode).i_sb;
            // Reads nest, and the kernel stack suffices for one file system on
            // top of another. `s_stack_depth` does not count file-backed EROFS.
            let file_backed = (*sb).s_magic as u64 == EROFS_MAGIC && (*sb).s_bdev.is_null();
            if (*sb).s_stack_depth != 0 || file_backed {
                let reason = "is on overlayfs or another stacked file system, or in a mounted \
                              image file";
                return Err(Unfit::new(ENOTBLK, reason));
            }
            if !sys::ondine_mapping_can_read((*self.as_raw()).f_mapping) {
                let reason = "cannot be read through the page cache";
                return Err(Unfit::new(EINVAL, reason));
            }
        }
        Ok(())
    }

    pub(super) fn as_raw(&self) -> *mut sys::file {
        self.file.as_ptr()
    }

    pub(super) fn mapping(&self) -> *mut sys::address_space {
        // SAFETY: By the type invariants; the mapping of a file does not change.
        unsafe { (*self.as_raw()).f_mapping }
    }

    /// Kind of the file.
    pub(crate) fn kind(&self) -> BackingKind {
        self.kind
    }

    /// The block device; null for a regular file.
    pub(super) fn bdev(&self) -> *mut sys::block_device {
        match self.kind {
            // SAFETY: The file is one of a block device.
            BackingKind::Device => unsafe { sys::file_bdev(self.as_raw()) },
            BackingKind::Regular => ptr::null_mut(),
        }
    }

    /// Current size in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: The mapping's host is valid as long as the file is.
        let size = unsafe { sys::ondine_i_size((*self.mapping()).host) };
        u64::try_from(size).unwrap_or(0)
    }

    /// Reads metadata: up to `len` bytes at `offset`, at least one, as far as one
    /// folio of the page cache goes.
    ///
    /// # Errors
    ///
    /// EIO if the file ends at or before `offset`; errors of reading.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<MetaSlice> {
        let left = self.size().checked_sub(offset).filter(|&left| left != 0);
        let len = left.ok_or(EIO)?.min(len as u64) as usize;
        // SAFETY: The file is valid, and the readahead state is initialised for its
        // mapping and may be shared by readers.
        let folio = from_err_ptr(unsafe {
            sys::ondine_meta_folio(
                self.as_raw(),
                offset.cast_signed(),
                len,
                self.readahead.get(),
            )
        })?;
        // SAFETY: The call returned a reference to an up-to-date folio of this
        // mapping, which contains `offset`.
        Ok(unsafe { MetaSlice::new(folio, offset, len) })
    }

    /// Copies up to `len` bytes at `position` to `iter` that are in the page cache.
    /// Returns their number, or 0 if [`Self::read_buffered`] has to read them.
    #[inline]
    pub(super) fn read_cached(&self, mut iter: IovIter<'_>, position: u64, len: u64) -> usize {
        let (file, position) = (self.as_raw(), position.cast_signed());
        // SAFETY: The file is valid by the type invariants, and so is the
        // iterator.
        unsafe { sys::ondine_read_cached(file, position, len as usize, iter.as_raw()) }
    }

    /// Reads from `position` to `iter` through the page cache of the file. Returns
    /// the number of bytes, which is less than `iter` has room for at the end of
    /// the file only.
    ///
    /// Holds no lock of the file while it copies to `iter`.
    ///
    /// # Errors
    ///
    /// EOVERFLOW for a position that is no file offset; errors of reading; EFAULT.
    pub(super) fn read_buffered(&self, iter: IovIter<'_>, position: u64) -> Result<usize> {
        self.read(iter, position, |kiocb, iter| {
            // SAFETY: `read` passes a valid request without a completion, and a
            // valid destination.
            unsafe { sys::ondine_read_buffered(kiocb, iter) }
        })
    }

    /// Reads from `position` to `iter` by direct I/O. Returns the number of bytes,
    /// which may be less than `iter` has room for. An error consumes none of it.
    ///
    /// Pins user memory before it enters the file system, so that no page fault
    /// runs under a lock of the file.
    ///
    /// # Errors
    ///
    /// As [`Self::read_buffered`]; one for which [`refuses_direct`] holds, if the
    /// read must be buffered.
    pub(super) fn read_direct(&self, iter: IovIter<'_>, position: u64) -> Result<usize> {
        self.read(iter, position, |kiocb, iter| {
            // SAFETY: As in `read_buffered`. The alignments are powers of two, see
            // `can_read_direct`.
            unsafe {
                (*kiocb).ki_flags |= sys::ONDINE_CONST_IOCB_DIRECT;
                sys::ondine_read_direct(kiocb, iter, self.direct_align, self.direct_mem_align)
            }
        })
    }

    /// Calls `read` with a synchronous request at `position`, with the credentials
    /// of the file.
    fn read(
        &self,
        mut iter: IovIter<'_>,
        position: u64,
        read: impl FnOnce(*mut sys::kiocb, *mut sys::iov_iter) -> isize,
    ) -> Result<usize> {
        let position = position.try_into()?;
        let mut kiocb = MaybeUninit::<sys::kiocb>::uninit();
        let kiocb = kiocb.as_mut_ptr();
        // SAFETY: The file is valid by the type invariants, also during the call of
        // `read`: the kiocb has no completion.
        unsafe {
            sys::ondine_init_kiocb(kiocb, self.as_raw());
            (*kiocb).ki_pos = position;
        }
        let _credentials = self.as_opener();
        let read = read(kiocb, iter.as_raw());
        usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))
    }

    /// Returns whether direct reads of `[position, position + len)` are possible.
    pub(crate) fn can_read_direct(&self, position: u64, len: u64) -> bool {
        let align = u64::from(self.direct_align);
        align != 0 && (position | len) & align.wrapping_sub(1) == 0
    }

    /// Returns whether any page of `[position, position + len)` is in the page
    /// cache.
    pub(crate) fn is_cached(&self, position: u64, len: u64) -> bool {
        let (Ok(first), Ok(last)) = (
            i64::try_from(position),
            i64::try_from(position.saturating_add(len).saturating_sub(1)),
        ) else {
            return false;
        };
        // SAFETY: The mapping is valid.
        unsafe { sys::filemap_range_has_page(self.mapping(), first, last) }
    }

    /// Overrides the credentials of the task with those of the file, until the
    /// result is dropped.
    pub(super) fn as_opener(&self) -> Credentials<'_> {
        // SAFETY: The file holds its credentials, and the result borrows the file.
        unsafe { Credentials::of((*self.as_raw()).f_cred) }
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `self` owns the reference and the claim.
        unsafe {
            if self.claimed {
                sys::bdev_fput(self.as_raw());
            } else {
                sys::fput(self.as_raw());
            }
        }
    }
}
