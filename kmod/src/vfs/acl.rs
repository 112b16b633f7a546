// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists, which are stored as extended attributes.
//!
//! C header: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h)

use super::{FileSystem, INode, XattrNamespace};
use crate::sys;
use core::ptr;
use kernel::prelude::*;

/// `inode_operations.get_inode_acl`
///
/// # Safety
///
/// `inode` is a complete inode of type `F`.
pub(super) unsafe extern "C" fn get<F: FileSystem>(
    inode: *mut sys::inode,
    kind: c_int,
    rcu: bool,
) -> *mut kernel::bindings::posix_acl {
    if rcu {
        // Reading may sleep: the VFS calls again outside of RCU mode.
        return ECHILD.to_ptr();
    }
    let namespace = match kind.cast_unsigned() {
        sys::ONDINE_CONST_ACL_TYPE_ACCESS => XattrNamespace::AclAccess,
        _ => XattrNamespace::AclDefault,
    };
    // SAFETY: By the caller.
    match read(unsafe { INode::<F>::from_raw(inode) }, namespace) {
        // SAFETY: The value is valid for its length, and copied.
        Ok(value) => unsafe { sys::ondine_acl_from_xattr(value.as_ptr().cast(), value.len()) },
        Err(error) if error == ENODATA => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

fn read<F: FileSystem>(inode: &INode<F>, namespace: XattrNamespace) -> Result<KVec<u8>> {
    let len = F::xattr(inode, namespace, b"", None)?;
    let mut value = KVec::from_elem(0u8, len, GFP_KERNEL)?;
    let read = F::xattr(inode, namespace, b"", Some(&mut value))?;
    value.truncate(read);
    Ok(value)
}
