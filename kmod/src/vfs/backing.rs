// SPDX-License-Identifier: GPL-2.0

//! Files and block devices that hold an image's bytes.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h),
//! [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use super::folio::MetaSlice;
use crate::sys;
use core::{
    mem::MaybeUninit,
    ptr::{self, NonNull},
};
use kernel::{error::from_err_ptr, page::PAGE_SIZE, prelude::*, types::Opaque};

/// EROFS, in the C driver and here: magic number of a super block.
const EROFS_MAGIC: usize = 0xE0F5_E1E2;

/// What kind of file a [`Backing`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackingKind {
    /// A regular file, read through its own file system.
    Regular,
    /// A block device.
    Device,
}

/// Whether bytes of a blob can be read from a file now.
pub(crate) enum Present<'a> {
    /// From this file.
    File(&'a Backing),
    /// They have to be waited for first.
    Missing,
    /// There is no such file: the inode's own page cache has to be used.
    NoFile,
}

/// An open, readable file or block device.
///
/// # Invariants
///
/// - `file` is a valid file that was opened for reading; `self` owns one
///   reference, and with `claimed` also the claim of an opened block device.
/// - `readahead` was initialised for the file's mapping.
pub(crate) struct Backing {
    file: NonNull<sys::file>,
    kind: BackingKind,
    claimed: bool,
    /// The readahead window of metadata reads. As for any file, concurrent
    /// readers may disturb each other's window, and nothing worse.
    readahead: Opaque<sys::file_ra_state>,
}

// SAFETY: `struct file` may be used and released from any task.
unsafe impl Send for Backing {}
// SAFETY: All that is done through `&self` is reading, for which the VFS locks;
// `readahead` holds hints that the page cache code bounds on each use.
unsafe impl Sync for Backing {}

impl Backing {
    /// Opens a regular file for reading, with the credentials of the caller.
    ///
    /// # Errors
    ///
    /// What opening gives; EINVAL if it is not a regular file; ENOTBLK if its
    /// file system is stacked on another one.
    pub(crate) fn open(path: &CStr) -> Result<Self> {
        // SAFETY: The path is NUL-terminated.
        let file = from_err_ptr(unsafe {
            sys::filp_open(
                path.as_char_ptr(),
                (sys::O_RDONLY | sys::O_LARGEFILE).cast_signed(),
                0,
            )
        })?;
        // SAFETY: filp_open() gave a reference, and nobody else has the file
        // yet. Reading an image is no access to the file that it is in.
        unsafe {
            (*file).f_flags |= sys::O_NOATIME;
            Self::from_owned(file)
        }
    }

    /// Opens a block device for reading. `holder` marks who shares it.
    ///
    /// # Errors
    ///
    /// What opening gives: ENOTBLK if it is no block device.
    pub(super) fn open_device(path: &CStr, holder: *mut c_void) -> Result<Self> {
        // SAFETY: The path is NUL-terminated; the holder is only compared.
        let file = from_err_ptr(unsafe {
            sys::bdev_file_open_by_path(
                path.as_char_ptr(),
                sys::ONDINE_CONST_BLK_OPEN_READ,
                holder,
                ptr::null(),
            )
        })?;
        // SAFETY: The call gave a reference and, with a holder, a claim.
        let mut backing = unsafe { Self::from_owned(file) }?;
        backing.claimed = true;
        Ok(backing)
    }

    /// Takes over a reference to a file.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; EBADF if the file is not open for reading.
    ///
    /// # Safety
    ///
    /// `file` is valid, and the caller gives up one reference.
    pub(super) unsafe fn from_owned(file: *mut sys::file) -> Result<Self> {
        let mut backing = Self {
            file: NonNull::new(file).ok_or(EINVAL)?,
            kind: BackingKind::Regular,
            claimed: false,
            readahead: Opaque::zeroed(),
        };
        // From here on `backing` releases the file on failure.
        // SAFETY: The file is valid; inode, mapping and super block live as
        // long as it.
        unsafe {
            // An `O_PATH` descriptor of a block device has the mapping of its node.
            if (*file).f_mode & sys::ONDINE_CONST_FMODE_READ == 0 {
                return Err(EBADF);
            }
            let inode = (*(*file).f_mapping).host;
            match u32::from((*inode).i_mode) & sys::S_IFMT {
                sys::S_IFREG => backing.check_regular(inode)?,
                sys::S_IFBLK => backing.kind = BackingKind::Device,
                _ => return Err(EINVAL),
            }
            sys::file_ra_state_init(backing.readahead.get(), (*file).f_mapping);
        }
        Ok(backing)
    }

    /// What a regular file must fulfil to carry an image.
    ///
    /// # Safety
    ///
    /// `inode` is the inode of `self.file`.
    unsafe fn check_regular(&self, inode: *mut sys::inode) -> Result {
        // SAFETY: By the caller, here and below.
        unsafe {
            let sb = (*inode).i_sb;
            // Reads nest: one file system on top of another is all that the
            // kernel's stack is sized for, and `s_stack_depth` does not count
            // file-backed EROFS.
            let file_backed = (*sb).s_magic == EROFS_MAGIC && (*sb).s_bdev.is_null();
            if (*sb).s_stack_depth != 0 || file_backed {
                return Err(ENOTBLK);
            }
            if !sys::ondine_mapping_can_read((*self.as_raw()).f_mapping) {
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    pub(super) fn as_raw(&self) -> *mut sys::file {
        self.file.as_ptr()
    }

    pub(super) fn mapping(&self) -> *mut sys::address_space {
        // SAFETY: By the type invariants; a file's mapping does not change.
        unsafe { (*self.as_raw()).f_mapping }
    }

    /// Regular file or block device.
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

    /// Size in bytes, now.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: The mapping's host is valid as long as the file is.
        let size = unsafe { sys::ondine_i_size((*self.mapping()).host) };
        u64::try_from(size).unwrap_or(0)
    }

    /// Up to `len` bytes of the page cache at `offset`, at least one, read
    /// from the store if they are not there.
    ///
    /// # Errors
    ///
    /// EIO where the file ends before `offset + 1`; what reading gives.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<MetaSlice> {
        let left = self.size().checked_sub(offset).filter(|&left| left != 0);
        let len = left.ok_or(EIO)?.min(len as u64) as usize;
        // SAFETY: Mapping and file belong together; the state is of that
        // mapping, and may be changed by several readers.
        let folio = from_err_ptr(unsafe {
            sys::ondine_meta_folio(
                self.mapping(),
                (offset >> sys::PAGE_SHIFT) as usize,
                self.as_raw(),
                self.readahead.get(),
            )
        })?;
        // SAFETY: The call gave a reference to a folio of this mapping that is
        // up to date and holds `offset`.
        Ok(unsafe { MetaSlice::new(folio, offset, len) })
    }

    /// Copies what the page cache has, from `position` on, of `len` bytes: the
    /// number of bytes, 0 if [`Self::read_iter`] has to read them.
    ///
    /// # Safety
    ///
    /// `iter` is a valid destination of `len` bytes at least.
    #[inline]
    pub(super) unsafe fn read_cached(
        &self,
        iter: *mut sys::iov_iter,
        position: u64,
        len: u64,
    ) -> usize {
        // SAFETY: The file is valid; by the caller, the iterator is.
        unsafe {
            sys::ondine_read_cached(self.as_raw(), position.cast_signed(), len as usize, iter)
        }
    }

    /// Reads `iter` full from `position`, as a read of the file itself would:
    /// through its page cache, or past it with `direct`.
    ///
    /// # Safety
    ///
    /// `iter` is a valid destination of `len` bytes at least.
    pub(super) unsafe fn read_iter(
        &self,
        iter: *mut sys::iov_iter,
        position: u64,
        direct: bool,
    ) -> Result<usize> {
        let position = position.try_into()?;
        let mut kiocb = MaybeUninit::<sys::kiocb>::uninit();
        // SAFETY: The file is valid, and stays so during the synchronous call.
        let read = unsafe {
            let kiocb = kiocb.as_mut_ptr();
            sys::ondine_init_kiocb(kiocb, self.as_raw());
            (*kiocb).ki_pos = position;
            if direct {
                (*kiocb).ki_flags |= sys::ONDINE_CONST_IOCB_DIRECT;
            }
            let _credentials = self.as_opener();
            sys::vfs_iocb_iter_read(self.as_raw(), kiocb, iter)
        };
        usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))
    }

    /// Whether direct reads of `[position, position + len)` are possible.
    pub(crate) fn can_read_direct(&self, position: u64, len: u64) -> bool {
        let align = PAGE_SIZE as u64 - 1;
        // SAFETY: By the type invariants.
        let mode = unsafe { (*self.as_raw()).f_mode };
        mode & sys::ONDINE_CONST_FMODE_CAN_ODIRECT != 0 && (position | len) & align == 0
    }

    /// Whether any page of `[position, position + len)` is in the page cache.
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

    /// Acts as the one who opened the file, until the result is dropped.
    pub(super) fn as_opener(&self) -> Credentials {
        // SAFETY: The file's credentials live as long as the file, which
        // outlives the guard: both are used by one call.
        unsafe { Credentials::of((*self.as_raw()).f_cred) }
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, reference and claim are ours.
        unsafe {
            if self.claimed {
                sys::bdev_fput(self.as_raw());
            } else {
                sys::fput(self.as_raw());
            }
        }
    }
}

/// The credentials to go back to.
///
/// # Invariants
///
/// They were the current task's, and still have the reference of the task.
pub(super) struct Credentials(*const sys::cred);

impl Credentials {
    /// Acts with `cred`, until the result is dropped.
    ///
    /// # Safety
    ///
    /// `cred` is valid, and outlives the result.
    pub(super) unsafe fn of(cred: *const sys::cred) -> Self {
        // SAFETY: By the caller.
        Self(unsafe { sys::ondine_override_creds(cred) })
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { sys::ondine_revert_creds(self.0) };
    }
}
