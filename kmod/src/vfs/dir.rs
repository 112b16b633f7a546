// SPDX-License-Identifier: GPL-2.0

//! Directories: looking names up and listing them.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{file, xattr, FileSystem, INode};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::file_operations = &sys::file_operations {
        llseek: Some(sys::generic_file_llseek),
        read: Some(sys::generic_read_dir),
        iterate_shared: Some(iterate::<F>),
        unlocked_ioctl: Some(file::ioctl::<F>),
        compat_ioctl: Some(file::ioctl::<F>),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// `inode` is new, of type `F`, and a directory.
pub(super) unsafe fn set_up<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: By the caller.
    unsafe {
        (*inode).i_op = xattr::Table::<F>::DIRECTORY;
        (*inode).__bindgen_anon_3.i_fop = Table::<F>::OPS;
    }
}

/// `inode_operations.lookup`
///
/// # Safety
///
/// `dir` is a complete directory of type `F`; `dentry` is being looked up in it.
pub(super) unsafe extern "C" fn lookup<F: FileSystem>(
    dir: *mut sys::inode,
    dentry: *mut sys::dentry,
    _flags: c_uint,
) -> *mut sys::dentry {
    // SAFETY: The VFS gives a directory of ours, and a dentry whose name does
    // not change during the call.
    let (dir, name) = unsafe {
        let name = &(*dentry).__bindgen_anon_1.d_name;
        let len = name.__bindgen_anon_1.__bindgen_anon_1.len as usize;
        (
            INode::<F>::from_raw(dir),
            core::slice::from_raw_parts(name.name, len),
        )
    };
    let found = F::lookup(dir, name)
        .and_then(|nid| nid.map(|nid| dir.super_block().inode(nid)).transpose());
    match found {
        // SAFETY: d_splice_alias() takes the inode's reference, or none.
        Ok(inode) => unsafe {
            sys::d_splice_alias(inode.map_or(ptr::null_mut(), INode::into_raw), dentry)
        },
        Err(error) => error.to_ptr(),
    }
}

/// Whether a directory is to go on emitting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// There is room for more.
    Continue,
    /// The reader's buffer is full.
    Stop,
}

/// Takes directory entries.
///
/// # Invariants
///
/// The context is valid for `'a`, and used by nobody else.
pub(crate) struct DirSink<'a>(*mut sys::dir_context, PhantomData<&'a mut ()>);

impl DirSink<'_> {
    /// Where to go on, as [`Self::emit`] or [`Self::skip_to`] set it last, or
    /// `lseek(2)` did.
    pub(crate) fn position(&self) -> u64 {
        // SAFETY: By the type invariants.
        u64::try_from(unsafe { (*self.0).pos }).unwrap_or(0)
    }

    /// Emits one entry at `position`; once it was taken, listing goes on at
    /// `next`. `file_type` is a `DT_*` value.
    pub(crate) fn emit(
        &mut self,
        name: &[u8],
        ino: u64,
        file_type: u8,
        position: u64,
        next: u64,
    ) -> Flow {
        // A name is at most a block long.
        let len = name.len() as c_int;
        // SAFETY: By the type invariants; the actor copies the name. It asks
        // for flags in the type if it wants any, and we have none.
        let taken = unsafe {
            (*self.0).actor.is_some_and(|actor| {
                let (name, position) = (name.as_ptr().cast(), position.cast_signed());
                actor(self.0, name, len, position, ino, file_type.into())
            })
        };
        if taken {
            self.skip_to(next);
            Flow::Continue
        } else {
            Flow::Stop
        }
    }

    /// Moves on without an entry.
    pub(crate) fn skip_to(&mut self, position: u64) {
        // SAFETY: By the type invariants.
        unsafe { (*self.0).pos = position.cast_signed() };
    }
}

/// `file_operations.iterate_shared`
///
/// # Safety
///
/// `file` is an open directory of type `F`; `context` is valid, and only this
/// call uses it.
unsafe extern "C" fn iterate<F: FileSystem>(
    file: *mut sys::file,
    context: *mut sys::dir_context,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS gives an open directory of ours.
        let dir = unsafe { INode::<F>::from_raw((*(*file).f_mapping).host) };
        // INVARIANT: The context is ours during the call.
        F::read_dir(dir, &mut DirSink(context, PhantomData))?;
        Ok(0)
    })
}
