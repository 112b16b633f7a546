// SPDX-License-Identifier: GPL-2.0

//! The descriptor of an object, through which the daemon fills it.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

use super::{extension, sized, OWNER};
use crate::{
    cache::{error, Cache, ObjectRef},
    sys,
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    fs::File,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        poll::PollTable,
        Arc, //
    },
};
use ondine_ondemand::{
    platform::{CacheOps, ObjectOps},
    requests::Outcome,
    session,
};

/// The private data of a descriptor's file. It holds one of the cache's pins.
pub(super) struct Handle {
    cache: Arc<Cache>,
    object: ObjectRef,
    /// The id by which messages name the descriptor; 0 until the OPEN is delivered.
    id: Atomic<u32>,
}

/// Answers a READ; the argument is the message id itself.
const READ_COMPLETE: u32 = kernel::ioctl::_IOW::<c_int>(0x98, 1);

const OPS: &sys::file_operations = &sys::file_operations {
    owner: OWNER,
    release: Some(release),
    llseek: Some(llseek),
    write_iter: Some(write_iter),
    poll: Some(poll),
    unlocked_ioctl: Some(ioctl),
    compat_ioctl: Some(ioctl),
    ..pin_init::zeroed()
};

/// A file that is not a descriptor of any process yet.
///
/// # Invariants
///
/// The private data is a [`Handle`], which the file's release drops.
pub(super) struct HandleFile(ARef<File>);

impl Handle {
    /// A file for a descriptor of `object`.
    ///
    /// # Errors
    ///
    /// ENFILE, ENOMEM.
    pub(super) fn new_file(cache: &Arc<Cache>, object: &ObjectRef) -> Result<HandleFile> {
        // Before the handle exists: dropping a handle drops a pin.
        cache.lock().pin();
        let handle = KBox::new(
            Self {
                cache: cache.clone(),
                object: object.clone(),
                id: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let handle = KBox::into_raw(handle);
        // SAFETY: The name is a NUL-terminated constant. The operations are static,
        // and are for files whose private data is a `Handle` from `KBox::into_raw`.
        let file = from_err_ptr(unsafe {
            sys::anon_inode_getfile_fmode(
                c"[cachefiles]".as_char_ptr(),
                OPS,
                handle.cast(),
                sys::O_WRONLY.cast_signed(),
                sys::ONDINE_CONST_FMODE_PWRITE | sys::ONDINE_CONST_FMODE_LSEEK,
            )
        });
        match file {
            Ok(file) => {
                let file = NonNull::new(file.cast::<File>()).ok_or(ENFILE)?;
                // INVARIANT: The private data was given above.
                // SAFETY: anon_inode_getfile_fmode() returns a reference, which the
                // result takes over. The file is no descriptor yet, so that there is
                // no fdget_pos() of it.
                Ok(HandleFile(unsafe { ARef::from_raw(file) }))
            }
            Err(error) => {
                // SAFETY: The pointer is from `KBox::into_raw`, and a call that
                // fails does not take it over.
                drop(unsafe { KBox::from_raw(handle) });
                Err(error)
            }
        }
    }

    /// The handle of a file.
    ///
    /// # Safety
    ///
    /// The private data of `file` is a handle, and its release does not run during
    /// `'a`.
    unsafe fn of<'a>(file: *mut sys::file) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { &*(*file).private_data.cast::<Self>() }
    }

    fn ioctl(&self, command: u32, argument: usize) -> Result {
        let (id, outcome) = match command {
            READ_COMPLETE => (argument as u32, Outcome::Answered),
            extension::READ_FAIL => {
                let (id, errno) = extension::read_failure(&self.cache, argument)?;
                (id, Outcome::Failed(errno))
            }
            _ => return Err(EINVAL),
        };
        session::answer_read(&*self.cache, &self.object, id, outcome).map_err(error)
    }
}

impl HandleFile {
    /// Sets the id by which messages name the descriptor.
    pub(super) fn set_id(&self, id: u32) {
        // SAFETY: By the type invariant; `self` holds a reference to the file.
        unsafe { Handle::of(self.0.as_ptr()) }.id.store(id, Relaxed);
    }

    /// The file, for a table of descriptors.
    pub(super) fn into_file(self) -> ARef<File> {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        session::unpin(&*self.cache);
    }
}

/// `file_operations.release`
///
/// # Safety
///
/// The private data of `file` is a handle; this is the last use of the file.
unsafe extern "C" fn release(_inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    // SAFETY: By the caller; the pointer is from `KBox::into_raw` in
    // `Handle::new_file`, and nothing else takes it back.
    let handle = unsafe { KBox::from_raw((*file).private_data.cast::<Handle>()) };
    session::close_descriptor(&*handle.cache, &handle.object, handle.id.load(Relaxed));
    0
}

/// `file_operations.llseek`
///
/// # Safety
///
/// The private data of `file` is a handle; the file is open during the call.
unsafe extern "C" fn llseek(file: *mut sys::file, offset: i64, whence: c_int) -> i64 {
    // SAFETY: By the caller.
    let object = unsafe { &Handle::of(file).object };
    if !object.is_open() {
        return i64::from(ENOBUFS.to_errno());
    }
    let found = match whence.cast_unsigned() {
        sys::SEEK_DATA => object.seek(offset, true),
        sys::SEEK_HOLE => object.seek(offset, false),
        _ => object.file().seek(offset, whence),
    };
    match found {
        Ok(position) => position,
        Err(error) => i64::from(error.to_errno()),
    }
}

/// `file_operations.write_iter`
///
/// # Safety
///
/// `kiocb` is a valid request on a file whose private data is a handle, and `iter` a
/// valid source; no other call uses them.
unsafe extern "C" fn write_iter(kiocb: *mut sys::kiocb, iter: *mut sys::iov_iter) -> isize {
    // SAFETY: By the caller; the request keeps its file open.
    let (handle, position) = unsafe { (Handle::of((*kiocb).ki_filp), (*kiocb).ki_pos) };
    let object = &handle.object;
    let position = position.cast_unsigned();
    if position % PAGE_SIZE as u64 != 0 {
        return ENOBUFS.to_errno() as isize;
    }
    // SAFETY: By the caller.
    let len = unsafe { sys::ondine_iov_iter_count(iter) } as u64;
    // SAFETY: By the caller `iter` is a valid source for this call alone.
    let write = |len| unsafe { object.file().write(iter, position, len) };
    let advance = |written: u64| {
        // SAFETY: By the caller `kiocb` is valid, and for this call alone.
        unsafe { (*kiocb).ki_pos = position.wrapping_add(written).cast_signed() };
        written as usize
    };
    let written = handle.cache.write(object, position, len, write);
    sized(written.map(advance))
}

/// `file_operations.poll`
///
/// # Safety
///
/// The private data of `file` is a handle, and the file is open during the call;
/// `table` is null or valid.
unsafe extern "C" fn poll(file: *mut sys::file, table: *mut sys::poll_table_struct) -> c_uint {
    // SAFETY: By the caller; poll() is called without fdget_pos().
    let (handle, table, file) = unsafe {
        (
            Handle::of(file),
            PollTable::from_raw(table),
            File::from_raw_file(file),
        )
    };
    table.register_wait(file, handle.cache.pollers());
    if !session::is_alive(&*handle.cache) || handle.object.is_dropped() {
        sys::POLLERR | sys::POLLHUP
    } else {
        // As for a file without a poll operation.
        sys::POLLIN | sys::POLLOUT | sys::POLLRDNORM | sys::POLLWRNORM
    }
}

/// `file_operations.unlocked_ioctl`
///
/// # Safety
///
/// The private data of `file` is a handle; the file is open during the call.
unsafe extern "C" fn ioctl(file: *mut sys::file, command: c_uint, argument: c_ulong) -> c_long {
    // SAFETY: By the caller.
    match unsafe { Handle::of(file) }.ioctl(command, argument) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}
