// SPDX-License-Identifier: GPL-2.0

//! The `iomap_ops` table: mapping file positions to blobs.
//!
//! C header: [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{
    blob::Blob,
    extent::{Target, Waiting},
    wait::check_killed,
    FileSystem, INode, MetaSlice,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

pub(super) struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    pub(super) const OPS: &'static sys::iomap_ops = &sys::iomap_ops {
        iomap_begin: None,
        iomap_end: None,
        iomap_next: Some(next::<F, true>),
    };

    /// For readahead: mapping fails where it would have to wait for metadata.
    pub(super) const WITHOUT_WAITING: &'static sys::iomap_ops = &sys::iomap_ops {
        iomap_next: Some(next::<F, false>),
        ..*Self::OPS
    };
}

/// `iomap_ops.iomap_next`
///
/// # Safety
///
/// iomap calls this for a complete inode of type `F`.
unsafe extern "C" fn next<F: FileSystem, const MAY_WAIT: bool>(
    iter: *const sys::iomap_iter,
    iomap: *mut sys::iomap,
    srcmap: *mut sys::iomap,
) -> c_int {
    // SAFETY: The arguments are those of iomap.
    unsafe { sys::ondine_iomap_next(iter, iomap, srcmap, Some(begin::<F, MAY_WAIT>), Some(end)) }
}

/// Fills `iomap` with the extent at a position.
///
/// # Safety
///
/// As for [`next`]; `iomap` is empty, and only this call uses it.
unsafe extern "C" fn begin<F: FileSystem, const MAY_WAIT: bool>(
    inode: *mut sys::inode,
    position: i64,
    len: i64,
    flags: c_uint,
    iomap: *mut sys::iomap,
    _srcmap: *mut sys::iomap,
) -> c_int {
    from_result(|| {
        // SEEK_HOLE and FIEMAP walk all extents of a file in one call and must be
        // killable. Reads are short, and may be on behalf of other tasks.
        if flags & sys::IOMAP_REPORT != 0 {
            check_killed()?;
        }
        // SAFETY: By the caller.
        let (inode, iomap) = unsafe { (INode::<F>::from_raw(inode), &mut *iomap) };
        let waiting = if MAY_WAIT {
            Waiting::Allowed
        } else {
            Waiting::Never
        };
        let (position, len) = (position.cast_unsigned(), len.cast_unsigned());
        let extent = F::map(inode, position, len, waiting)?;
        iomap.offset = extent.start.cast_signed();
        iomap.length = extent.len;
        iomap.addr = sys::IOMAP_NULL_ADDR as u64;
        iomap.type_ = sys::IOMAP_HOLE as u16;
        match extent.target {
            Target::Hole => {}
            Target::Blob(blob, address) => {
                iomap.type_ = sys::IOMAP_MAPPED as u16;
                iomap.addr = address;
                // The data of the super block owns the blob, and outlives the
                // inodes and their page cache.
                iomap.private = ptr::from_ref(blob).cast_mut().cast();
                if let Some(device) = blob.device() {
                    iomap.bdev = device.bdev();
                }
            }
            Target::Inline(bytes, address) => {
                iomap.addr = address.unwrap_or(iomap.addr);
                let (data, folio) = bytes.into_raw();
                iomap.type_ = sys::IOMAP_INLINE as u16;
                iomap.inline_data = data.cast();
                // `end` drops the reference.
                iomap.private = folio.cast();
            }
        }
        Ok(0)
    })
}

/// Drops the reference to inline data that [`begin`] took.
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
    // SAFETY: By the caller; the pointer to the folio came from
    // `MetaSlice::into_raw`, and iomap calls this once for each map.
    unsafe {
        if (*iomap).type_ == sys::IOMAP_INLINE as u16 {
            MetaSlice::release((*iomap).private.cast());
        }
    }
    0
}
