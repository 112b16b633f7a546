// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: reading and listing.
//!
//! C header: [`include/linux/xattr.h`](srctree/include/linux/xattr.h)

use super::{FileSystem, INode};
use crate::sys;
use core::{marker::PhantomData, ptr, slice};
use kernel::{error::from_result, prelude::*};

/// Namespace of an attribute: the prefix of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum XattrNamespace {
    /// `user.`
    User,
    /// `trusted.`, listed only with CAP_SYS_ADMIN.
    Trusted,
    /// `security.`
    Security,
    /// `system.posix_acl_access`, the complete name.
    AclAccess,
    /// `system.posix_acl_default`, the complete name.
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

    /// The namespace that [`handler`] stored in the flags.
    fn from_flags(flags: c_int) -> Option<Self> {
        [Self::User, Self::Trusted, Self::Security]
            .into_iter()
            .find(|&namespace| namespace as c_int == flags)
    }
}

pub(super) struct Table<F>(PhantomData<F>);

/// A NULL-terminated table of handlers.
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
        // SAFETY: By the caller.
        let (namespace, inode, name) = unsafe {
            (
                XattrNamespace::from_flags((*handler).flags).ok_or(EOPNOTSUPP)?,
                INode::<F>::from_raw(inode),
                CStr::from_char_ptr(name).to_bytes(),
            )
        };
        // SAFETY: By the caller; only this call uses the buffer.
        let value = unsafe { buffer_slice(buffer.cast(), size) };
        Ok(F::xattr(inode, namespace, name, value)?.try_into()?)
    })
}

/// The buffer, or `None` if only the length is asked for.
///
/// # Safety
///
/// `buffer` is null, or valid for `size` bytes and used through the result only.
unsafe fn buffer_slice<'a>(buffer: *mut u8, size: usize) -> Option<&'a mut [u8]> {
    if buffer.is_null() || size == 0 {
        return None;
    }
    // SAFETY: By the caller.
    Some(unsafe { slice::from_raw_parts_mut(buffer, size) })
}

/// Destination of attribute names, each terminated by a NUL.
pub(crate) struct XattrList<'a> {
    buffer: Option<&'a mut [u8]>,
    used: usize,
    trusted: bool,
}

impl XattrList<'_> {
    /// Adds the name that consists of the prefix of `namespace`, `infix` and
    /// `rest`.
    ///
    /// # Errors
    ///
    /// ERANGE if the buffer is too small.
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
pub(super) unsafe extern "C" fn list<F: FileSystem>(
    dentry: *mut sys::dentry,
    buffer: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: By the caller; only this call uses the buffer. Reading capabilities
    // has no preconditions.
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
