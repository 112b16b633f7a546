// SPDX-License-Identifier: GPL-2.0

//! From file positions to places: what iomap asks of a file system.
//!
//! C header: [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{FileSystem, INode, MetaSlice};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// Where the bytes of an extent are.
pub(crate) enum Target<'a, F: FileSystem> {
    /// Nowhere: they are zeroes.
    Hole,
    /// On a blob, from this byte address on.
    Blob(&'a F::Blob, u64),
    /// In metadata, which is there already: all that is left of the file; with
    /// the byte address on the primary blob, if it is on one.
    Inline(MetaSlice, Option<u64>),
}

/// A contiguous part of a file.
pub(crate) struct Extent<'a, F: FileSystem> {
    /// File position of the first byte.
    pub(crate) start: u64,
    /// Bytes; not zero. A multiple of the block size but for inline data.
    pub(crate) len: u64,
    pub(crate) target: Target<'a, F>,
}

pub(super) struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    pub(super) const OPS: &'static sys::iomap_ops = &sys::iomap_ops {
        iomap_begin: None,
        iomap_end: None,
        iomap_next: Some(next::<F>),
    };
}

/// `iomap_ops.iomap_next`
///
/// # Safety
///
/// iomap calls this for a complete inode of type `F`.
unsafe extern "C" fn next<F: FileSystem>(
    iter: *const sys::iomap_iter,
    iomap: *mut sys::iomap,
    srcmap: *mut sys::iomap,
) -> c_int {
    // SAFETY: The arguments are iomap's own.
    unsafe { sys::ondine_iomap_next(iter, iomap, srcmap, Some(begin::<F>), Some(end)) }
}

/// Fills a map for a position.
///
/// # Safety
///
/// As for [`next`]; `iomap` is empty, and only this call uses it.
unsafe extern "C" fn begin<F: FileSystem>(
    inode: *mut sys::inode,
    position: i64,
    len: i64,
    flags: c_uint,
    iomap: *mut sys::iomap,
    _srcmap: *mut sys::iomap,
) -> c_int {
    from_result(|| {
        // SEEK_HOLE and FIEMAP go through all extents of a file in one call. What
        // reads is short, and may read for others too.
        // SAFETY: No requirements.
        if flags & sys::IOMAP_REPORT != 0 && unsafe { sys::ondine_is_killed() } {
            return Err(EINTR);
        }
        // SAFETY: iomap calls this for inodes whose operations are ours, which
        // are complete, and gives a valid map.
        let (inode, iomap) = unsafe { (INode::<F>::from_raw(inode), &mut *iomap) };
        let extent = F::map(inode, position.cast_unsigned(), len.cast_unsigned())?;
        iomap.offset = extent.start.cast_signed();
        iomap.length = extent.len;
        iomap.addr = sys::IOMAP_NULL_ADDR as u64;
        iomap.type_ = sys::IOMAP_HOLE as u16;
        match extent.target {
            Target::Hole => {}
            Target::Blob(blob, address) => {
                iomap.type_ = sys::IOMAP_MAPPED as u16;
                iomap.addr = address;
                // The super block's data owns the blob and outlives its inodes
                // and their page cache.
                iomap.private = ptr::from_ref(blob).cast_mut().cast();
                if let Some(device) = F::device(blob) {
                    iomap.bdev = device.bdev();
                }
            }
            Target::Inline(bytes, address) => {
                iomap.addr = address.unwrap_or(iomap.addr);
                let (data, folio) = bytes.into_raw();
                iomap.type_ = sys::IOMAP_INLINE as u16;
                iomap.inline_data = data.cast();
                // Held until `end`.
                iomap.private = folio.cast();
            }
        }
        Ok(0)
    })
}

/// Gives up what [`begin`] put into a map.
///
/// # Safety
///
/// `iomap` was filled by [`begin`], and is not used any more.
unsafe extern "C" fn end(
    _inode: *mut sys::inode,
    _position: i64,
    _len: i64,
    _written: isize,
    _flags: c_uint,
    iomap: *mut sys::iomap,
) -> c_int {
    // SAFETY: iomap gives back what `begin` filled, once.
    unsafe {
        if (*iomap).type_ == sys::IOMAP_INLINE as u16 {
            MetaSlice::release((*iomap).private.cast());
        }
    }
    0
}
