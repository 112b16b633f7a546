// SPDX-License-Identifier: GPL-2.0

//! The page cache of a file: filling its folios through iomap.
//!
//! On a block device iomap reads by itself; of regular files we gather what is
//! contiguous into one [`Batch`] and let the file system submit it.
//!
//! C headers: [`include/linux/iomap.h`](srctree/include/linux/iomap.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    ahead, batch::Batch, iomap, iomap::Target, wait::metadata_error, FileSystem, INode, Present,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::address_space_operations = &sys::address_space_operations {
        read_folio: Some(read_folio::<F>),
        readahead: Some(readahead::<F>),
        bmap: Some(bmap::<F>),
        invalidate_folio: Some(sys::iomap_invalidate_folio),
        release_folio: Some(sys::iomap_release_folio),
        is_partially_uptodate: Some(sys::iomap_is_partially_uptodate),
        ..pin_init::zeroed()
    };

    const READ: &'static sys::iomap_read_ops = &sys::iomap_read_ops {
        read_folio_range: Some(read_folio_range::<F>),
        submit_read: Some(submit_read::<F>),
        bio_set: ptr::null_mut(),
    };
}

/// Gives a new inode a page cache that fills itself.
///
/// # Safety
///
/// `inode` is new and of type `F`.
pub(super) unsafe fn set_up<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller; a new inode has its embedded mapping.
    unsafe {
        let mapping = (*inode).i_mapping;
        (*mapping).a_ops = Table::<F>::OPS;
        if is_on_device(inode) {
            sys::ondine_mapping_set_large_folios(mapping);
        }
    }
}

/// Allows large folios in the page cache of a file that is going to be mapped or
/// spliced, once all of it is there: that needs all of a folio, and must not wait
/// for, nor fail with, pages that nobody asks for.
pub(super) fn allow_large_folios<F: FileSystem>(inode: &INode<F>) {
    // SAFETY: A complete inode has its embedded mapping. To allow them once more
    // changes nothing, nor does it matter who allocates a folio just then.
    unsafe {
        let mapping = (*inode.as_raw()).i_mapping;
        if !sys::ondine_mapping_has_large_folios(mapping) && inode.is_present() {
            sys::ondine_mapping_set_large_folios(mapping);
        }
    }
}

/// Whether the super block of an inode is on a device.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn is_on_device(inode: *mut sys::inode) -> bool {
    // SAFETY: By the caller; an inode's super block outlives it.
    unsafe { !(*(*inode).i_sb).s_bdev.is_null() }
}

/// Who reads for this inode: iomap, if its super block is on a device.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn read_ops<F: FileSystem>(inode: *mut sys::inode) -> *const sys::iomap_read_ops {
    // SAFETY: By the caller.
    if unsafe { is_on_device(inode) } {
        &raw const sys::iomap_bio_read_ops
    } else {
        Table::<F>::READ
    }
}

/// `address_space_operations.read_folio`
///
/// # Safety
///
/// `folio` is locked, and belongs to a complete inode of type `F`.
unsafe extern "C" fn read_folio<F: FileSystem>(
    file: *mut sys::file,
    folio: *mut sys::folio,
) -> c_int {
    // SAFETY: The VFS gives a locked folio of an inode of ours, and iomap
    // unlocks it.
    unsafe {
        let inode = sys::ondine_folio_inode(folio);
        // iomap keeps to itself why a position has no place, and the page cache
        // why a folio that was handed over did not fill; whoever waits for this
        // one is to be told.
        let position = sys::ondine_folio_pos(folio).cast_unsigned();
        let len = sys::ondine_folio_size(folio) as u64;
        if let Err(error) = fetch(INode::<F>::from_raw(inode), position, len, file.is_null()) {
            sys::folio_unlock(folio);
            return error.to_errno();
        }
        let mut context = sys::iomap_read_folio_ctx {
            ops: read_ops::<F>(inode),
            cur_folio: folio,
            ..Default::default()
        };
        let ops = iomap::Table::<F>::OPS;
        sys::iomap_read_folio(ops, &raw mut context, ptr::null_mut());
    }
    0
}

/// Waits until all of `[position, position + len)` that is in the file can be
/// read from where it is, and counts that as hits and misses.
///
/// Without an open file it is metadata that is read.
fn fetch<F: FileSystem>(inode: &INode<F>, position: u64, len: u64, metadata: bool) -> Result {
    let end = position.saturating_add(len).min(inode.size());
    let mut position = position;
    while position < end {
        let extent = inode.extent(position, end.wrapping_sub(position))?;
        let next = extent.start.saturating_add(extent.len);
        if let Target::Blob(blob, address) = extent.target {
            let address = address.wrapping_add(position.wrapping_sub(extent.start));
            let len = next.min(end).wrapping_sub(position);
            if let Present::Missing = F::present(blob, address, len) {
                F::fetch(blob, address, len).map_err(|error| {
                    if metadata {
                        metadata_error(error)
                    } else {
                        error
                    }
                })?;
            }
        }
        position = next;
    }
    Ok(())
}

/// `address_space_operations.readahead`
///
/// # Safety
///
/// `rac` is a readahead request for a complete inode of type `F`.
unsafe extern "C" fn readahead<F: FileSystem>(rac: *mut sys::readahead_control) {
    // SAFETY: The VFS gives a readahead request for an inode of ours; iomap
    // consumes its folios.
    unsafe {
        let mut context = sys::iomap_read_folio_ctx {
            ops: read_ops::<F>((*(*rac).mapping).host),
            rac,
            ..Default::default()
        };
        let ops = iomap::Table::<F>::OPS;
        sys::iomap_readahead(ops, &raw mut context, ptr::null_mut());
    }
}

/// `address_space_operations.bmap`
///
/// # Safety
///
/// `mapping` is the one of a complete inode of type `F`.
unsafe extern "C" fn bmap<F: FileSystem>(
    mapping: *mut sys::address_space,
    block: sys::sector_t,
) -> sys::sector_t {
    // SAFETY: The VFS gives a mapping of an inode of ours.
    unsafe { sys::iomap_bmap(mapping, block, iomap::Table::<F>::OPS) }
}

/// `iomap_read_ops.read_folio_range`: adds one range of a folio to the batch, or
/// submits that and starts another.
///
/// # Safety
///
/// iomap calls this while it reads for an inode of type `F` with [`Table::READ`].
unsafe extern "C" fn read_folio_range<F: FileSystem>(
    iter: *const sys::iomap_iter,
    context: *mut sys::iomap_read_folio_ctx,
    len: usize,
) -> c_int {
    from_result(|| {
        // SAFETY: iomap gives valid arguments that nobody else uses now.
        let (iter, context) = unsafe { (&*iter, &mut *context) };
        let map = &iter.iomap;
        let position = iter.pos.cast_unsigned();
        // In range: iomap reads inside the map.
        let skip = position.wrapping_sub(map.offset.cast_unsigned());
        let address = map.addr.wrapping_add(skip);
        let folio = context.cur_folio;
        // SAFETY: iomap holds the folio locked.
        let folio_start = unsafe { sys::ondine_folio_pos(folio) }.cast_unsigned();
        let offset = position.wrapping_sub(folio_start) as usize;

        // SAFETY: Only this function and `submit_read` touch `read_ctx`, which
        // is null or a pending batch.
        let pending = unsafe { context.read_ctx.cast::<Pending>().as_mut() };
        if let Some(pending) = pending {
            if pending.blob == map.private && pending.batch.follows(address) {
                // SAFETY: The folio is locked, and the range was handed over.
                unsafe { pending.batch.push(folio, offset, len) };
                return Ok(0);
            }
            // SAFETY: As above.
            unsafe { submit::<F>(iter, context) };
        }
        // SAFETY: A readahead request is valid as long as its context.
        let (folios, fetched) = match unsafe { context.rac.as_mut() } {
            // This folio has been taken out of the request already.
            // SAFETY: As above.
            Some(rac) => (
                unsafe { sys::ondine_readahead_pages(rac) }.saturating_add(1),
                false,
            ),
            None => (1, true),
        };
        let mut batch = Batch::new(position, address, folios as usize, fetched)?;
        // SAFETY: As above.
        unsafe { batch.push(folio, offset, len) };
        let blob = map.private;
        // A failure drops the batch, which ends the folio's read by itself:
        // from `push` on it must not be reported here as well.
        if let Ok(pending) = KBox::new(Pending { batch, blob }, GFP_KERNEL) {
            context.read_ctx = KBox::into_raw(pending).cast();
        }
        Ok(0)
    })
}

/// A batch that grows, and the blob that it reads from.
struct Pending {
    batch: Batch,
    blob: *mut c_void,
}

/// `iomap_read_ops.submit_read`
///
/// # Safety
///
/// As for [`read_folio_range`].
unsafe extern "C" fn submit_read<F: FileSystem>(
    iter: *const sys::iomap_iter,
    context: *mut sys::iomap_read_folio_ctx,
) {
    // SAFETY: iomap gives valid arguments that nobody else uses now.
    unsafe { submit::<F>(&*iter, &mut *context) };
}

/// # Safety
///
/// `context.read_ctx` is null or came from [`read_folio_range`].
unsafe fn submit<F: FileSystem>(iter: &sys::iomap_iter, context: &mut sys::iomap_read_folio_ctx) {
    let pending = core::mem::replace(&mut context.read_ctx, ptr::null_mut());
    if pending.is_null() {
        return;
    }
    // SAFETY: By the caller it is a `Pending` made by `KBox`; the blob is one
    // that `begin` stored, and lives as long as the super block. A readahead
    // request is valid as long as its context.
    unsafe {
        let pending = KBox::into_inner(KBox::from_raw(pending.cast::<Pending>()));
        let inode = INode::<F>::from_raw(iter.inode);
        let blob = &*pending.blob.cast::<F::Blob>();
        ahead::window(inode, blob, &pending.batch, context.rac);
        F::submit(inode, blob, pending.batch);
    }
}
