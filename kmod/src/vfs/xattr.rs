// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, and the inode operation tables that carry them.
//!
//! C header: [`include/linux/xattr.h`](srctree/include/linux/xattr.h)

use super::{acl, dir, file, FileSystem, INode};
use crate::sys;
use core::{marker::PhantomData, ptr, slice};
use kernel::{error::from_result, prelude::*};

/// The first part of an attribute's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum XattrNamespace {
    /// `user.`
    User,
    /// `trusted.`, listed to CAP_SYS_ADMIN only.
    Trusted,
    /// `security.`
    Security,
    /// `system.posix_acl_access`, whole.
    AclAccess,
    /// `system.posix_acl_default`, whole.
    AclDefault,
}

impl XattrNamespace {
    const fn prefix(self) -> &'static CStr {
        match self {
            Self::User => c"user.",
            Self::Trusted => c"trusted.",
            Self::Security => c"security.",
            Self::AclAccess => c"system.posix_acl_access",
            Self::AclDefault => c"system.posix_acl_default",
        }
    }

    /// From what [`handler`] stored.
    fn from_flags(flags: c_int) -> Option<Self> {
        [Self::User, Self::Trusted, Self::Security]
            .into_iter()
            .find(|&namespace| namespace as c_int == flags)
    }
}

pub(super) struct Table<F>(PhantomData<F>);

/// A table of pointers, which other tasks only read.
#[repr(transparent)]
pub(super) struct Handlers([*const sys::xattr_handler; 4]);

// SAFETY: The pointers are to constants.
unsafe impl Sync for Handlers {}

impl Handlers {
    pub(super) const fn as_ptr(&self) -> *const *const sys::xattr_handler {
        self.0.as_ptr()
    }
}

impl<F: FileSystem> Table<F> {
    const USER: &'static sys::xattr_handler = &handler::<F>(XattrNamespace::User);
    const TRUSTED: &'static sys::xattr_handler = &handler::<F>(XattrNamespace::Trusted);
    const SECURITY: &'static sys::xattr_handler = &handler::<F>(XattrNamespace::Security);

    pub(super) const HANDLERS: &'static Handlers = &Handlers([
        ptr::from_ref(Self::USER),
        ptr::from_ref(Self::TRUSTED),
        ptr::from_ref(Self::SECURITY),
        ptr::null(),
    ]);

    /// Operations of regular files.
    pub(super) const FILE: &'static sys::inode_operations = &sys::inode_operations {
        fiemap: Some(file::fiemap::<F>),
        ..operations::<F>()
    };

    /// Operations of directories.
    pub(super) const DIRECTORY: &'static sys::inode_operations = &sys::inode_operations {
        lookup: Some(dir::lookup::<F>),
        ..operations::<F>()
    };

    /// Operations of links whose target is in memory.
    pub(super) const FAST_LINK: &'static sys::inode_operations = &sys::inode_operations {
        get_link: Some(sys::simple_get_link),
        get_inode_acl: None,
        ..operations::<F>()
    };

    /// Operations of links whose target is read through the page cache.
    pub(super) const LINK: &'static sys::inode_operations = &sys::inode_operations {
        get_link: Some(sys::ondine_get_link),
        get_inode_acl: None,
        ..operations::<F>()
    };

    /// Operations of devices, fifos and sockets.
    pub(super) const SPECIAL: &'static sys::inode_operations = &operations::<F>();
}

/// What all kinds of inodes have.
const fn operations<F: FileSystem>() -> sys::inode_operations {
    sys::inode_operations {
        listxattr: Some(list::<F>),
        get_inode_acl: Some(acl::get::<F>),
        ..pin_init::zeroed()
    }
}

const fn handler<F: FileSystem>(namespace: XattrNamespace) -> sys::xattr_handler {
    sys::xattr_handler {
        prefix: namespace.prefix().to_bytes_with_nul().as_ptr(),
        flags: namespace as c_int,
        get: Some(get::<F>),
        ..pin_init::zeroed()
    }
}

/// `xattr_handler.get`
///
/// # Safety
///
/// `handler` is one of [`Table::HANDLERS`]; `inode` is complete and of type `F`;
/// `name` is NUL-terminated; `buffer` is null or has `size` bytes.
unsafe extern "C" fn get<F: FileSystem>(
    handler: *const sys::xattr_handler,
    _dentry: *mut sys::dentry,
    inode: *mut sys::inode,
    name: *const c_char,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS gives one of our handlers, an inode of ours, and a
        // NUL-terminated name without the prefix.
        let (namespace, inode, name) = unsafe {
            (
                XattrNamespace::from_flags((*handler).flags).ok_or(EOPNOTSUPP)?,
                INode::<F>::from_raw(inode),
                CStr::from_char_ptr(name).to_bytes(),
            )
        };
        // SAFETY: With a size, the buffer is that large, and only ours.
        let value = unsafe { buffer_slice(buffer.cast(), size) };
        Ok(F::xattr(inode, namespace, name, value)?.try_into()?)
    })
}

/// The buffer of a caller that wants more than the length.
///
/// # Safety
///
/// `buffer` is null, or valid for `size` bytes and used by nobody else.
unsafe fn buffer_slice<'a>(buffer: *mut u8, size: usize) -> Option<&'a mut [u8]> {
    if buffer.is_null() || size == 0 {
        return None;
    }
    // SAFETY: By the caller.
    Some(unsafe { slice::from_raw_parts_mut(buffer, size) })
}

/// Takes attribute names, each ended by a NUL.
pub(crate) struct XattrList<'a> {
    buffer: Option<&'a mut [u8]>,
    used: usize,
    trusted: bool,
}

impl XattrList<'_> {
    /// Adds a name made of a namespace's prefix and two further parts.
    ///
    /// # Errors
    ///
    /// ERANGE if the reader's buffer is too small.
    pub(crate) fn add(&mut self, namespace: XattrNamespace, infix: &[u8], rest: &[u8]) -> Result {
        if namespace == XattrNamespace::Trusted && !self.trusted {
            return Ok(());
        }
        for part in [namespace.prefix().to_bytes(), infix, rest, b"\0"] {
            self.append(part)?;
        }
        Ok(())
    }

    fn append(&mut self, part: &[u8]) -> Result {
        let end = self.used.checked_add(part.len()).ok_or(ERANGE)?;
        if let Some(buffer) = &mut self.buffer {
            let target = buffer.get_mut(self.used..end).ok_or(ERANGE)?;
            for (to, from) in target.iter_mut().zip(part) {
                *to = *from;
            }
        }
        self.used = end;
        Ok(())
    }
}

/// `inode_operations.listxattr`
///
/// # Safety
///
/// `dentry` is of a mounted super block of type `F`; `buffer` is null or has
/// `size` bytes.
unsafe extern "C" fn list<F: FileSystem>(
    dentry: *mut sys::dentry,
    buffer: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: The VFS gives a dentry of ours, and a buffer of that size that
    // only we use; reading capabilities has no preconditions.
    let (inode, mut list) = unsafe {
        (
            INode::<F>::from_raw((*dentry).d_inode),
            XattrList {
                buffer: buffer_slice(buffer.cast(), size),
                used: 0,
                trusted: sys::ondine_capable_admin(),
            },
        )
    };
    match F::list_xattrs(inode, &mut list) {
        Ok(()) => list.used.cast_signed(),
        Err(error) => error.to_errno() as isize,
    }
}
