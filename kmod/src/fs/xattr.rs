// SPDX-License-Identifier: GPL-2.0

//! Extended attributes.

use super::{error::checked, image::Image, xattr_prefixes::XattrPrefixes, Inode};
use crate::vfs::{XattrList, XattrNamespace};
use kernel::prelude::*;
use ondine_erofs::{
    xattr::{self, index, SCRATCH},
    Error,
};

const fn name_index(namespace: XattrNamespace) -> u8 {
    match namespace {
        XattrNamespace::User => index::USER,
        XattrNamespace::Trusted => index::TRUSTED,
        XattrNamespace::Security => index::SECURITY,
        XattrNamespace::AclAccess => index::POSIX_ACL_ACCESS,
        XattrNamespace::AclDefault => index::POSIX_ACL_DEFAULT,
    }
}

fn namespace(name_index: u8) -> Option<XattrNamespace> {
    match name_index {
        index::USER => Some(XattrNamespace::User),
        index::TRUSTED => Some(XattrNamespace::Trusted),
        index::SECURITY => Some(XattrNamespace::Security),
        index::POSIX_ACL_ACCESS => Some(XattrNamespace::AclAccess),
        index::POSIX_ACL_DEFAULT => Some(XattrNamespace::AclDefault),
        _ => None,
    }
}

fn prefixes(image: &Image) -> Result<&XattrPrefixes> {
    image.prefixes.as_ref().ok_or(EIO)
}

/// Returns whether the mount options let the namespace be listed.
fn is_listed(image: &Image, namespace: XattrNamespace) -> bool {
    match namespace {
        XattrNamespace::User => image.options.user_xattr(),
        XattrNamespace::AclAccess | XattrNamespace::AclDefault => image.options.acl(),
        XattrNamespace::Trusted | XattrNamespace::Security => true,
    }
}

pub(super) fn get(
    inode: &Inode,
    namespace: XattrNamespace,
    name: &[u8],
    value: Option<&mut [u8]>,
) -> Result<usize> {
    let sb = inode.super_block();
    let image = sb.data();
    // The VFS asks for an ACL while the super block has its flag, which a remount
    // to `noacl` takes away after the option: an error in between would be one of
    // a permission check.
    if namespace == XattrNamespace::User && !image.options.user_xattr() {
        return Err(EOPNOTSUPP);
    }
    let node = inode.node();
    let prefixes = prefixes(image)?;
    let index = name_index(namespace);
    let answer = xattr::get(image, &image.superblock, node, prefixes, index, name, value);
    checked(sb, inode.nid(), answer)
}

pub(super) fn list(inode: &Inode, list: &mut XattrList<'_>) -> Result {
    let sb = inode.super_block();
    let image = sb.data();
    let prefixes = prefixes(image)?;
    let mut scratch = [0u8; SCRATCH];
    let answer = xattr::list(
        image,
        &image.superblock,
        inode.node(),
        prefixes,
        &mut scratch,
        |name| match namespace(name.index).filter(|&namespace| is_listed(image, namespace)) {
            Some(namespace) => list
                .add(namespace, name.infix, name.suffix)
                .map_err(Error::Source),
            None => Ok(()),
        },
    );
    checked(sb, inode.nid(), answer)
}
