// SPDX-License-Identifier: GPL-2.0

//! `read(2)` of regular files.
//!
//! An extent that lies in a regular file is read through that file, whose page
//! cache then holds the only copy of its bytes, unless the bytes are cached by
//! the inode itself, for `mmap(2)` or `splice(2)`. All other extents are read
//! through the inode's own page cache.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    backing::refuses_direct,
    blob::{Blob, Present},
    extent::{Target, Waiting},
    iov_iter::IovIter,
    prefetch::window_len,
    read_call::ReadCall,
    wait::check_killed,
    Backing, FileSystem, INode,
};
use crate::sys;
use kernel::prelude::*;

/// `file_operations.read_iter`
///
/// # Safety
///
/// `kiocb` is a request on an open regular file of type `F`; only this call uses
/// it and `iter`.
pub(super) unsafe extern "C" fn read_iter<F: FileSystem>(
    kiocb: *mut sys::kiocb,
    iter: *mut sys::iov_iter,
) -> isize {
    // SAFETY: By the caller. `rw_verify_area()` has refused negative positions.
    let call = unsafe { ReadCall::<F>::from_raw(kiocb, iter) };
    if call.inode().super_block().is_on_device() {
        return call.read_device();
    }
    match read_extents(call) {
        Ok(read) => read.cast_signed(),
        Err(error) => error.to_errno() as isize,
    }
}

/// Reads extent by extent, until the iterator is full or the file ends.
#[inline]
fn read_extents<F: FileSystem>(mut call: ReadCall<'_, F>) -> Result<usize> {
    let (inode, reader, position) = (call.inode(), call.reader(), call.position());
    let wanted = inode
        .size()
        .saturating_sub(position)
        .min(call.room() as u64);
    let mut done = 0;
    while done < wanted {
        // Extents can be as short as a block. Most reads are of one.
        if done != 0 && check_killed().is_err() {
            break;
        }
        let begin = position.wrapping_add(done);
        match read_extent(call.reborrow(), inode, wanted.wrapping_sub(done)) {
            Ok(0) => break,
            Ok(read) => {
                done = done.wrapping_add(read as u64);
                reader.advanced(inode, begin, position.wrapping_add(done));
            }
            Err(_) if done != 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done as usize)
}

/// Reads up to `want` bytes at the current position, at most to the end of their
/// extent, or of one window if bytes are missing, and moves the position. `inode` is
/// the one of the call; it has that many bytes.
#[inline]
fn read_extent<F: FileSystem>(
    mut call: ReadCall<'_, F>,
    inode: &INode<F>,
    want: u64,
) -> Result<usize> {
    let position = call.position();
    let extent = inode.extent(position, want, Waiting::Allowed)?;
    let skip = position.wrapping_sub(extent.start);
    let mut len = extent.len.wrapping_sub(skip).min(want);
    let file = match extent.target {
        Target::Blob(blob, address) => {
            let address = address.wrapping_add(skip);
            let file = match blob.present(address, len) {
                Present::File(file) => Some(file),
                Present::NoFile => None,
                Present::Missing => {
                    len = len.min(window_len(position));
                    fetch(call.reborrow(), blob, address, len)?
                }
            };
            file.map(|file| (file, address))
        }
        Target::Hole | Target::Inline(..) => None,
    };
    let Some((file, address)) = file else {
        return call.read_page_cache(len);
    };
    let mut read = 0;
    if call.is_direct() && file.can_read_direct(address, len) {
        let read_file = |iter: IovIter<'_>| file.read_direct(iter, address);
        read = match call.iter().limited(len, read_file) {
            Err(error) if refuses_direct(error) => 0,
            result => result?,
        };
    }
    if read == 0 {
        read = file.read_cached(call.iter(), address, len);
    }
    if read == 0 {
        read = inode.read_cached(call.iter(), position, len);
    }
    if read == 0 {
        let read_file = |iter: IovIter<'_>| file.read_buffered(iter, address);
        read = call.iter().limited(len, read_file)?;
    }
    if read == 0 {
        inode.log_cut();
        return Err(EIO);
    }
    call.advance(read);
    Ok(read)
}

/// Prefetches, and waits for missing bytes, which lie in one window. Out of line, to
/// keep it out of the code of a hit.
#[cold]
#[inline(never)]
fn fetch<'a, F: FileSystem>(
    call: ReadCall<'_, F>,
    blob: &'a F::Blob,
    address: u64,
    len: u64,
) -> Result<Option<&'a Backing>> {
    if let Present::File(file) = blob.present(address, len) {
        // What is missing of the extent lies in a later window.
        return Ok(Some(file));
    }
    let (inode, position, random) = (call.inode(), call.position(), call.is_random());
    call.reader().missed(inode, position, random);
    blob.fetch(address, len)
}
