// SPDX-License-Identifier: GPL-2.0

//! File handles: `name_to_handle_at(2)`, NFS export, overlayfs.
//!
//! A handle consists of the nid and a generation, which is always 0 since images
//! do not change; a connectable one has the same of the parent.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::{FileSystem, INode, SuperBlock};
use crate::sys;
use core::{marker::PhantomData, slice};
use kernel::prelude::*;

pub(super) struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    pub(super) const OPS: &'static sys::export_operations = &sys::export_operations {
        encode_fh: Some(encode::<F>),
        fh_to_dentry: Some(to_dentry::<F>),
        fh_to_parent: Some(to_parent::<F>),
        get_parent: Some(parent::<F>),
        ..pin_init::zeroed()
    };
}

/// Words of a handle: low and high half of the nid, generation.
const WORDS: usize = 3;

/// `export_operations.encode_fh`
///
/// # Safety
///
/// `inode` is complete and of type `F`, as is `parent` unless null; `handle` has
/// room for `*max_words` words.
unsafe extern "C" fn encode<F: FileSystem>(
    inode: *mut sys::inode,
    handle: *mut u32,
    max_words: *mut c_int,
    parent: *mut sys::inode,
) -> c_int {
    let words = if parent.is_null() { WORDS } else { 2 * WORDS };
    // SAFETY: By the caller; at most `*max_words` words are written.
    unsafe {
        let room = usize::try_from(*max_words).unwrap_or(0);
        *max_words = words as c_int;
        if room < words {
            return sys::ONDINE_CONST_FILEID_INVALID;
        }
        let nids = [inode, parent]
            .into_iter()
            .filter(|inode| !inode.is_null())
            .map(|inode| INode::<F>::from_raw(inode).nid());
        let handle = slice::from_raw_parts_mut(handle, words);
        for (part, nid) in handle.chunks_exact_mut(WORDS).zip(nids) {
            let values = [nid as u32, (nid >> 32) as u32, 0];
            for (to, from) in part.iter_mut().zip(values) {
                *to = from;
            }
        }
    }
    if parent.is_null() {
        sys::ONDINE_CONST_FILEID_INO64_GEN
    } else {
        sys::ONDINE_CONST_FILEID_INO64_GEN_PARENT
    }
}

/// The nid in the first part of a handle, or with `parent` in the second part.
///
/// # Safety
///
/// `fid` is valid for `words` words.
unsafe fn decode(fid: *mut sys::fid, words: c_int, kind: c_int, parent: bool) -> Option<u64> {
    let known = [
        sys::ONDINE_CONST_FILEID_INO64_GEN,
        sys::ONDINE_CONST_FILEID_INO64_GEN_PARENT,
    ];
    let words = usize::try_from(words).ok()?;
    if !known.contains(&kind) {
        return None;
    }
    // SAFETY: By the caller.
    let handle = unsafe { slice::from_raw_parts(fid.cast::<u32>(), words) };
    match handle.chunks_exact(WORDS).nth(parent.into())? {
        &[low, high, 0] => Some(u64::from(low) | u64::from(high) << 32),
        _ => None,
    }
}

fn dentry<F: FileSystem>(sb: &SuperBlock<F>, nid: u64) -> *mut sys::dentry {
    match sb.inode(nid) {
        // SAFETY: d_obtain_alias() takes over the reference.
        Ok(inode) => unsafe { sys::d_obtain_alias(INode::into_raw(inode)) },
        // User space may make up handles: one that leads to no inode is stale,
        // whatever error reading there fails with.
        Err(error) if error == ENOMEM => error.to_ptr(),
        Err(_) => ESTALE.to_ptr(),
    }
}

/// # Safety
///
/// As for [`to_dentry`].
unsafe fn decoded<F: FileSystem>(
    sb: *mut sys::super_block,
    fid: *mut sys::fid,
    words: c_int,
    kind: c_int,
    parent: bool,
) -> *mut sys::dentry {
    // SAFETY: By the caller.
    let (nid, sb) = unsafe {
        (
            decode(fid, words, kind, parent),
            SuperBlock::<F>::from_raw(sb),
        )
    };
    nid.map_or(ESTALE.to_ptr(), |nid| dentry(sb, nid))
}

/// `export_operations.fh_to_dentry`
///
/// # Safety
///
/// `sb` is a mounted super block of type `F`; `fid` is valid for `words` words.
unsafe extern "C" fn to_dentry<F: FileSystem>(
    sb: *mut sys::super_block,
    fid: *mut sys::fid,
    words: c_int,
    kind: c_int,
) -> *mut sys::dentry {
    // SAFETY: By the caller.
    unsafe { decoded::<F>(sb, fid, words, kind, false) }
}

/// `export_operations.fh_to_parent`
///
/// # Safety
///
/// As for [`to_dentry`].
unsafe extern "C" fn to_parent<F: FileSystem>(
    sb: *mut sys::super_block,
    fid: *mut sys::fid,
    words: c_int,
    kind: c_int,
) -> *mut sys::dentry {
    // SAFETY: By the caller.
    unsafe { decoded::<F>(sb, fid, words, kind, true) }
}

/// `export_operations.get_parent`
///
/// # Safety
///
/// `child` is a directory of a mounted super block of type `F`.
unsafe extern "C" fn parent<F: FileSystem>(child: *mut sys::dentry) -> *mut sys::dentry {
    // SAFETY: By the caller.
    let child = unsafe { INode::<F>::from_raw((*child).d_inode) };
    match F::lookup(child, b"..") {
        Ok(Some(nid)) => dentry(child.super_block(), nid),
        Ok(None) => ENOENT.to_ptr(),
        Err(error) => error.to_ptr(),
    }
}
