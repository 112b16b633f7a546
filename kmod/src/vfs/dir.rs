// SPDX-License-Identifier: GPL-2.0

//! Directories: lookup and listing.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{file, FileSystem, INode};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::file_operations = &sys::file_operations {
        llseek: Some(sys::generic_file_llseek),
        read: Some(sys::generic_read_dir),
        iterate_shared: Some(iterate::<F>),
        setlease: Some(sys::ondine_setlease),
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
    // SAFETY: By the caller. The name of a dentry does not change during lookup.
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
        // SAFETY: d_splice_alias() takes over the reference to the inode, or
        // null.
        Ok(inode) => unsafe {
            sys::d_splice_alias(inode.map_or(ptr::null_mut(), INode::into_raw), dentry)
        },
        Err(error) => error.to_ptr(),
    }
}

/// Tells a directory whether to emit further entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The buffer of the reader has room for more.
    Continue,
    /// The buffer of the reader is full.
    Stop,
}

/// Destination of directory entries.
///
/// # Invariants
///
/// The context is valid for `'a`, and used through `self` only.
pub(crate) struct DirSink<'a>(*mut sys::dir_context, PhantomData<&'a mut ()>);

impl DirSink<'_> {
    /// Position of the next entry, as set by [`Self::emit`], [`Self::skip_to`] or
    /// `lseek(2)`.
    pub(crate) fn position(&self) -> u64 {
        // SAFETY: By the type invariants.
        u64::try_from(unsafe { (*self.0).pos }).unwrap_or(0)
    }

    /// Emits the entry at `position`. If the reader takes it, the position
    /// becomes `next`. `file_type` is a `DT_*` value.
    pub(crate) fn emit(
        &mut self,
        name: &[u8],
        ino: u64,
        file_type: u8,
        position: u64,
        next: u64,
    ) -> Flow {
        // Fits: a name is at most a block long.
        let len = name.len() as c_int;
        // SAFETY: By the type invariants; the actor copies the name. The type has
        // none of the flags that an actor may ask for.
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

    /// Sets the position without emitting an entry.
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
        // SAFETY: By the caller.
        let dir = unsafe { INode::<F>::from_raw((*(*file).f_mapping).host) };
        // INVARIANT: By the caller, during this call.
        F::read_dir(dir, &mut DirSink(context, PhantomData))?;
        Ok(0)
    })
}
