// SPDX-License-Identifier: GPL-2.0

//! Reading inodes.

use super::{
    error::{checked, ImageResult},
    image::Image,
    Ondine,
};
use crate::vfs::{FileKind, InodeAttributes, SuperBlock};
use kernel::prelude::*;
use ondine_erofs::{inode::check_fast_symlink, Error, Inode, Source};

pub(super) fn read(sb: &SuperBlock<Ondine>, nid: u64) -> Result<(Inode, InodeAttributes)> {
    let image = sb.data();
    let inode = checked(sb, nid, Inode::read(image, &image.superblock, nid))?;
    let kind = if inode.is_regular() {
        FileKind::Regular
    } else if inode.is_dir() {
        FileKind::Directory
    } else if inode.is_symlink() {
        FileKind::Link(checked(sb, nid, read_link(image, &inode))?)
    } else {
        let (major, minor) = inode.rdev();
        FileKind::Special(major, minor)
    };
    let attributes = InodeAttributes {
        kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        nlink: inode.nlink,
        size: inode.size,
        blocks: inode.sectors(&image.superblock),
        mtime: inode.mtime,
        mtime_nsec: inode.mtime_nsec,
        no_acl: !inode.has_xattrs(),
    };
    Ok((inode, attributes))
}

/// The target of a link that is stored with its inode, NUL-terminated.
fn read_link(image: &Image, inode: &Inode) -> ImageResult<Option<KVec<u8>>> {
    let Some((space, offset, len)) = inode.fast_symlink(&image.superblock) else {
        return Ok(None);
    };
    let out_of_memory = |_| Error::Source(ENOMEM);
    let mut target = KVec::from_elem(0u8, len as usize, GFP_KERNEL).map_err(out_of_memory)?;
    image.read(space, offset, &mut target)?;
    check_fast_symlink(&target)?;
    target.push(0, GFP_KERNEL).map_err(out_of_memory)?;
    Ok(Some(target))
}
