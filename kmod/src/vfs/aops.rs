// SPDX-License-Identifier: GPL-2.0

//! Filling the page cache of a file through iomap.
//!
//! On a block device iomap submits the bios. Blobs in regular files are read by
//! [`ReadRequest`]s: each gathers ranges that are contiguous on one blob.
//!
//! C headers: [`include/linux/iomap.h`](srctree/include/linux/iomap.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    blob::{metadata_error, Blob, Present},
    extent::{Target, Waiting},
    iomap, prefetch,
    read_request::ReadRequest,
    FileSystem, INode, SuperBlock,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::address_space_operations = &operations::<F>();

    /// Operations of inodes whose blocks are on one block device. FIBMAP tells
    /// blocks, and no device.
    const ON_ONE_DEVICE: &'static sys::address_space_operations = &sys::address_space_operations {
        bmap: Some(bmap::<F>),
        ..operations::<F>()
    };

    const READ: &'static sys::iomap_read_ops = &sys::iomap_read_ops {
        read_folio_range: Some(read_folio_range::<F>),
        submit_read: Some(submit_read::<F>),
        bio_set: ptr::null_mut(),
    };
}

const fn operations<F: FileSystem>() -> sys::address_space_operations {
    sys::address_space_operations {
        read_folio: Some(read_folio::<F>),
        readahead: Some(readahead::<F>),
        invalidate_folio: Some(sys::iomap_invalidate_folio),
        release_folio: Some(sys::iomap_release_folio),
        is_partially_uptodate: Some(sys::iomap_is_partially_uptodate),
        ..pin_init::zeroed()
    }
}

/// Sets up the page cache of a new inode.
///
/// # Safety
///
/// `inode` is new and of type `F`; its super block has its data.
pub(super) unsafe fn set_up<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller. The embedded mapping of a new inode is not in use.
    unsafe {
        let mapping = (*inode).i_mapping;
        (*mapping).a_ops = Table::<F>::OPS;
        if is_on_device(inode) {
            sys::ondine_mapping_set_large_folios(mapping);
            let sb = SuperBlock::<F>::from_raw((*inode).i_sb);
            if F::blobs(sb.data()).len() == 1 {
                (*mapping).a_ops = Table::<F>::ON_ONE_DEVICE;
            }
        }
    }
}

/// Allows large folios in the page cache of a file that is going to be mapped or
/// spliced, once the file is fully present. A large folio is read as a whole, so
/// otherwise a fault could block on, or fail because of, pages outside of the
/// faulting page.
pub(super) fn allow_large_folios<F: FileSystem>(inode: &INode<F>) {
    // SAFETY: A complete inode has its embedded mapping;
    // `ondine_mapping_allow_large_folios()` is atomic.
    unsafe {
        let mapping = (*inode.as_raw()).i_mapping;
        if !sys::ondine_mapping_has_large_folios(mapping) && inode.is_fully_present() {
            sys::ondine_mapping_allow_large_folios(mapping);
        }
    }
}

/// Returns whether the super block of an inode is on a block device.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn is_on_device(inode: *mut sys::inode) -> bool {
    // SAFETY: By the caller; an inode's super block outlives it.
    unsafe { !(*(*inode).i_sb).s_bdev.is_null() }
}

/// The functions that submit reads for an inode: iomap's, if its super block is
/// on a block device.
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
    // SAFETY: The page cache calls this with a locked folio of an inode of ours, and
    // keeps references to both; `iomap_read_folio()` unlocks it.
    unsafe {
        let inode = sys::ondine_folio_inode(folio);
        // iomap discards the mapping error and the page cache the reason of a
        // failed asynchronous read. Resolve and wait here so that the caller gets
        // the errno.
        let position = sys::ondine_folio_pos(folio).cast_unsigned();
        let len = sys::ondine_folio_size(folio) as u64;
        // Without the lock: other tasks that need the folio would wait for it, in a
        // sleep that suspend cannot freeze and that has no time limit.
        let mapping = (*inode).i_mapping;
        let mut is_locked = true;
        let unlock = || {
            if core::mem::replace(&mut is_locked, false) {
                sys::folio_unlock(folio);
            }
        };
        let fetched = fetch(
            INode::<F>::from_raw(inode),
            position,
            len,
            file.is_null(),
            unlock,
        );
        if let Err(error) = fetched {
            if is_locked {
                sys::folio_unlock(folio);
            }
            return error.to_errno();
        }
        if !is_locked {
            match sys::ondine_folio_relock(folio, mapping) {
                0 => {}
                1 => return 0,
                truncated => return truncated,
            }
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

/// Waits until all bytes of `[position, position + len)` that are in the file are
/// present, and counts hits and misses.
///
/// `metadata` is set for a read without an open file, of an inode that holds
/// metadata. Calls `before_wait` before each wait.
fn fetch<F: FileSystem>(
    inode: &INode<F>,
    position: u64,
    len: u64,
    metadata: bool,
    mut before_wait: impl FnMut(),
) -> Result {
    let end = position.saturating_add(len).min(inode.size());
    let mut position = position;
    while position < end {
        let want = end.wrapping_sub(position);
        let mut extent = inode.extent(position, want, Waiting::Never);
        if matches!(extent, Err(error) if error == EAGAIN) {
            before_wait();
            extent = inode.extent(position, want, Waiting::Allowed);
        }
        let extent = extent?;
        let next = extent.start.saturating_add(extent.len);
        if let Target::Blob(blob, address) = extent.target {
            let address = address.wrapping_add(position.wrapping_sub(extent.start));
            let len = next.min(end).wrapping_sub(position);
            if let Present::Missing = blob.present(address, len) {
                before_wait();
                blob.fetch(address, len).map_err(|error| {
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
    // Where the metadata is missing iomap stops, and the page cache takes back the
    // rest of the locked folios: the task that needs one waits in `read_folio()`.
    // SAFETY: The page cache calls this with a readahead request for an inode of
    // ours; iomap consumes its folios.
    unsafe {
        let mut context = sys::iomap_read_folio_ctx {
            ops: read_ops::<F>((*(*rac).mapping).host),
            rac,
            ..Default::default()
        };
        let ops = iomap::Table::<F>::WITHOUT_WAITING;
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
    // SAFETY: The VFS calls this with the mapping of an inode of ours.
    unsafe { sys::iomap_bmap(mapping, block, iomap::Table::<F>::OPS) }
}

/// `iomap_read_ops.read_folio_range`: adds a range of a folio to the pending
/// request, or submits that and begins another.
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
        // SAFETY: iomap passes valid arguments, which only this call uses.
        let (iter, context) = unsafe { (&*iter, &mut *context) };
        let map = &iter.iomap;
        let position = iter.pos.cast_unsigned();
        // Does not wrap: iomap reads within the mapping.
        let skip = position.wrapping_sub(map.offset.cast_unsigned());
        let address = map.addr.wrapping_add(skip);
        let folio = context.cur_folio;
        // SAFETY: iomap holds the folio locked, so that it is valid.
        let folio_start = unsafe { sys::ondine_folio_pos(folio) }.cast_unsigned();
        let offset = position.wrapping_sub(folio_start) as usize;

        // SAFETY: `read_ctx` is accessed here and in `submit` only, and is null
        // or a pending request.
        let pending = unsafe { context.read_ctx.cast::<Pending>().as_mut() };
        if let Some(pending) = pending {
            if pending.blob == map.private && pending.request.follows(address) {
                // SAFETY: The folio is locked, and iomap leaves the range to the
                // request.
                unsafe { pending.request.push(folio, offset, len) };
                return Ok(0);
            }
            // SAFETY: As above.
            unsafe { submit::<F>(iter, context) };
        }
        // SAFETY: A readahead request is valid as long as the context that points
        // to it.
        let (folios, waited_for) = match unsafe { context.rac.as_mut() } {
            // The folio has been taken out of the readahead request already.
            // SAFETY: As above.
            Some(rac) => (
                unsafe { sys::ondine_readahead_pages(rac) }.saturating_add(1),
                false,
            ),
            None => (1, true),
        };
        let mut request = ReadRequest::new(position, address, folios as usize, waited_for)?;
        // SAFETY: As above.
        unsafe { request.push(folio, offset, len) };
        let blob = map.private;
        // If the allocation fails, the request is dropped, which fails the read
        // of the folio: from `push` on an error must not be returned to iomap as
        // well.
        if let Ok(pending) = KBox::new(Pending { request, blob }, GFP_KERNEL) {
            context.read_ctx = KBox::into_raw(pending).cast();
        }
        Ok(0)
    })
}

/// A read request to which ranges are being added.
struct Pending {
    request: ReadRequest,
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
    // SAFETY: iomap passes valid arguments, which only this call uses.
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
    // SAFETY: By the caller it is a `Pending` that `KBox` allocated;
    // `iomap::begin` stored the pointer to the blob, which lives as long as the
    // super block. A readahead request is valid as long as its context.
    unsafe {
        let pending = KBox::into_inner(KBox::from_raw(pending.cast::<Pending>()));
        let inode = INode::<F>::from_raw(iter.inode);
        let blob = &*pending.blob.cast::<F::Blob>();
        prefetch::prefetch_window(inode, blob, &pending.request, context.rac);
        blob.read(pending.request);
    }
}
