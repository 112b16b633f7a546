// SPDX-License-Identifier: GPL-2.0

//! Reading inodes.

use super::{
    data::{checked, Answer, Data},
    Ondine,
};
use crate::vfs::{Attributes, Kind, SuperBlock};
use kernel::prelude::*;
use ondine_erofs::{inode::check_fast_symlink, Error, Inode, Source};

pub(super) fn read(sb: &SuperBlock<Ondine>, nid: u64) -> Result<(Inode, Attributes)> {
    let data = sb.data();
    let inode = checked(sb, nid, Inode::read(data, &data.image, nid))?;
    let kind = if inode.is_regular() {
        Kind::Regular
    } else if inode.is_dir() {
        Kind::Directory
    } else if inode.is_symlink() {
        Kind::Link(checked(sb, nid, read_link(data, &inode))?)
    } else {
        let (major, minor) = inode.rdev();
        Kind::Special(major, minor)
    };
    let attributes = Attributes {
        kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        nlink: inode.nlink,
        size: inode.size,
        blocks: inode.sectors(&data.image),
        mtime: inode.mtime,
        mtime_nsec: inode.mtime_nsec,
        no_acl: !inode.has_xattrs(),
    };
    Ok((inode, attributes))
}

/// The target of a link that is stored behind its inode, with a NUL.
fn read_link(data: &Data, inode: &Inode) -> Answer<Option<KVec<u8>>> {
    let Some((space, offset, len)) = inode.fast_symlink(&data.image) else {
        return Ok(None);
    };
    let out_of_memory = |_| Error::Source(ENOMEM);
    let mut target = KVec::from_elem(0u8, len as usize, GFP_KERNEL).map_err(out_of_memory)?;
    data.read(space, offset, &mut target)?;
    check_fast_symlink(&target)?;
    target.push(0, GFP_KERNEL).map_err(out_of_memory)?;
    Ok(Some(target))
}
