// SPDX-License-Identifier: GPL-2.0

//! Super blocks with data, as the file system and the callbacks use them.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{sysfs, FileSystem};
use crate::sys;
use core::marker::PhantomData;
use kernel::{prelude::*, types::Opaque};

/// A super block of the file system type `F` that is mounted or being activated.
///
/// # Invariants
///
/// `s_fs_info` is a `KBox<Info<F>>` made by `fill_super::fill`.
#[repr(transparent)]
pub(crate) struct SuperBlock<F: FileSystem>(Opaque<sys::super_block>, PhantomData<F>);

/// The object that `s_fs_info` points to.
pub(super) struct Info<F: FileSystem> {
    pub(super) data: KBox<F::Data>,
    pub(super) entry: Option<sysfs::Entry<F>>,
}

impl<F: FileSystem> SuperBlock<F> {
    /// # Safety
    ///
    /// `sb` is valid for `'a`, of type `F`, and `fill_super::fill` stored its data.
    pub(super) unsafe fn from_raw<'a>(sb: *mut sys::super_block) -> &'a Self {
        // SAFETY: By the caller; the wrappers are transparent.
        unsafe { &*sb.cast::<Self>() }
    }

    pub(super) fn as_raw(&self) -> *mut sys::super_block {
        self.0.get()
    }

    /// The file system's data of the super block.
    pub(crate) fn data(&self) -> &F::Data {
        // SAFETY: By the type invariants.
        unsafe { &(*(*self.as_raw()).s_fs_info.cast::<Info<F>>()).data }
    }

    /// Returns whether the super block is on a block device.
    #[inline]
    pub(super) fn is_on_device(&self) -> bool {
        // SAFETY: Valid by the type invariants; the field is set before the super
        // block is filled, and constant while it is mounted.
        unsafe { !(*self.as_raw()).s_bdev.is_null() }
    }

    /// Block size in bytes.
    pub(crate) fn block_size(&self) -> u32 {
        // SAFETY: Valid by the type invariants; set before the data is stored,
        // and constant from then on.
        unsafe { (*self.as_raw()).s_blocksize as u32 }
    }

    /// The name of the super block in messages and in sysfs.
    pub(crate) fn id(&self) -> &CStr {
        // SAFETY: `s_id` is NUL-terminated, and constant since before the data
        // was stored.
        unsafe { CStr::from_char_ptr((*self.as_raw()).s_id.as_ptr()) }
    }

    /// Logs a defect of the image, rate-limited, with super block and nid.
    pub(crate) fn log_defect(&self, nid: u64, message: &str) {
        // SAFETY: The name is NUL-terminated, and the message is passed with its
        // length.
        unsafe {
            sys::ondine_pr_err_ratelimited(
                self.id().as_char_ptr(),
                nid,
                message.as_ptr().cast(),
                message.len() as c_int,
            )
        };
    }
}
