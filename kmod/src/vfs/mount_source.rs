// SPDX-License-Identifier: GPL-2.0

//! Parsed mount options, sources, and the context for error messages.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::backing::{Backing, Unfit};
use crate::sys;
use core::marker::PhantomData;
use kernel::{prelude::*, str::CString};

/// A parsed mount option.
pub(crate) enum MountOption {
    /// `device=PATH`, or a descriptor given by `fsconfig(2)`.
    Device(MountSource),
    /// `user_xattr`, `nouser_xattr`.
    UserXattr(bool),
    /// `acl`, `noacl`.
    Acl(bool),
    /// `directio`, `nodirectio`.
    DirectIo(bool),
    /// `fsoffset=BYTES`.
    Offset(u64),
    /// `fsid=KEY`: the key of the image in the cache.
    FsId(CString),
    /// `domain_id=KEY`: blobs are shared with other mounts of that domain.
    DomainId(CString),
    /// `hard` or `soft`: without a daemon, reads of missing data wait or fail.
    Hard(bool),
    /// `timeout=SECONDS`: longest wait of a read; 0 for no limit.
    Timeout(u32),
}

/// Source of a blob.
pub(crate) enum MountSource {
    /// A path, opened when the file system is mounted.
    Path(CString),
    /// An open file, passed as a descriptor.
    Open(Backing),
    /// The block device of the super block.
    SuperBlockDevice,
}

impl MountSource {
    /// The path or key; empty if there is none.
    pub(crate) fn name(&self) -> &CStr {
        match self {
            Self::Path(path) => path,
            Self::Open(_) | Self::SuperBlockDevice => c"",
        }
    }
}

/// A mount context, for error messages to the task that mounts.
pub(crate) struct MountContext<'a>(*mut sys::fs_context, PhantomData<&'a ()>);

impl MountContext<'_> {
    /// Adds an error message to the log of the context (for `mount(2)`: to the
    /// kernel log).
    pub(crate) fn error(&self, message: &CStr) {
        // SAFETY: The context is valid while `self` is; the message is
        // NUL-terminated and copied.
        unsafe { sys::ondine_errorfc(self.0, message.as_char_ptr()) };
    }

    /// Adds the reason for which a file is refused to the log. Returns the errno.
    pub(crate) fn refuse(&self, file: &CStr, unfit: &Unfit) -> Error {
        let (reason, error) = (unfit.reason(), unfit.error());
        // SAFETY: The context is valid while `self` is; the name is
        // NUL-terminated, and the reason is passed with its length.
        unsafe {
            sys::ondine_errorfc_file(
                self.0,
                file.as_char_ptr(),
                reason.as_ptr().cast(),
                reason.len() as c_int,
                error.to_errno(),
            )
        };
        error
    }

    /// # Safety
    ///
    /// `fc` is valid for `'a`.
    pub(super) unsafe fn from_raw(fc: *mut sys::fs_context) -> Self {
        Self(fc, PhantomData)
    }
}
