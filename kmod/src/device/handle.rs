// SPDX-License-Identifier: GPL-2.0

//! The descriptor of an object, through which a daemon fills it.
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
use ondine_ondemand::requests::Outcome;

/// What hangs off the descriptor's file.
pub(super) struct Handle {
    cache: Arc<Cache>,
    object: ObjectRef,
    /// The id that messages call it by; 0 until the daemon is told.
    id: Atomic<u32>,
}

/// READ_COMPLETE; the argument is the message id itself.
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

/// A file of a [`Handle`] that no process has yet.
pub(super) struct NewFile(ARef<File>);

impl Handle {
    /// A descriptor's file for `object`.
    ///
    /// # Errors
    ///
    /// ENFILE, ENOMEM.
    pub(super) fn file(cache: &Arc<Cache>, object: &ObjectRef) -> Result<NewFile> {
        let handle = KBox::new(
            Self {
                cache: cache.clone(),
                object: object.clone(),
                id: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        cache.pin();
        let handle = KBox::into_raw(handle);
        // SAFETY: The name is a constant; the operations are for files whose
        // private data is a handle.
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
                // SAFETY: The call gave a reference; nobody uses the position
                // of a file that is in no table.
                Ok(NewFile(unsafe { ARef::from_raw(file) }))
            }
            Err(error) => {
                // SAFETY: No file took it over.
                drop(unsafe { KBox::from_raw(handle) });
                Err(error)
            }
        }
    }

    /// # Safety
    ///
    /// `file` is a file of a handle, not released during `'a`.
    unsafe fn of<'a>(file: *mut sys::file) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { &*(*file).private_data.cast::<Self>() }
    }

    fn id(&self) -> u32 {
        self.id.load(Relaxed)
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
        let ticket = self.cache.lock().table.answer_read(id, self.object.key());
        if let Some(ticket) = ticket.map_err(error)? {
            ticket.answer(outcome);
        }
        Ok(())
    }
}

impl NewFile {
    /// The daemon is going to know the descriptor by this id.
    pub(super) fn set_id(&self, id: u32) {
        // SAFETY: The file was made by `Handle::file`.
        unsafe { Handle::of(self.0.as_ptr()) }.id.store(id, Relaxed);
    }

    /// The file, to be put into a table of descriptors.
    pub(super) fn into_file(self) -> ARef<File> {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cache.unpin();
    }
}

/// `file_operations.release`
///
/// # Safety
///
/// `file` is a file of a handle; this is its last use.
unsafe extern "C" fn release(_inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    // SAFETY: By the caller; `Handle::file` made it with `KBox::into_raw`.
    let handle = unsafe { KBox::from_raw((*file).private_data.cast::<Handle>()) };
    let (key, id) = (handle.object.key(), handle.id());
    let readable = handle.cache.lock().table.handle_closed(key, id);
    if readable {
        handle.cache.pollers().notify_all();
    }
    0
}

/// `file_operations.llseek`
///
/// # Safety
///
/// `file` is a file of a handle.
unsafe extern "C" fn llseek(file: *mut sys::file, offset: i64, whence: c_int) -> i64 {
    // SAFETY: The VFS gives a file of ours.
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
/// `kiocb` is a request on a file of a handle; only this call uses it and `iter`.
unsafe extern "C" fn write_iter(kiocb: *mut sys::kiocb, iter: *mut sys::iov_iter) -> isize {
    // SAFETY: The VFS gives a request on a file of ours.
    let (handle, position) = unsafe { (Handle::of((*kiocb).ki_filp), (*kiocb).ki_pos) };
    let object = &handle.object;
    let position = position.cast_unsigned();
    if !object.is_open() || position % PAGE_SIZE as u64 != 0 {
        return ENOBUFS.to_errno() as isize;
    }
    sized(handle.cache.check_room().and_then(|()| {
        // SAFETY: The VFS gives a valid source.
        let written = unsafe { object.file().write(iter, position) }?;
        handle.cache.add_filled(object.wrote(position, written));
        // SAFETY: As above.
        unsafe { (*kiocb).ki_pos = position.wrapping_add(written).cast_signed() };
        Ok(written as usize)
    }))
}

/// `file_operations.poll`
///
/// # Safety
///
/// `file` is a file of a handle; `table` is null or valid.
unsafe extern "C" fn poll(file: *mut sys::file, table: *mut sys::poll_table_struct) -> c_uint {
    // SAFETY: The VFS gives a file of ours, and a table.
    let (handle, table, file) = unsafe {
        (
            Handle::of(file),
            PollTable::from_raw(table),
            File::from_raw_file(file),
        )
    };
    table.register_wait(file, handle.cache.pollers());
    let gone = !handle.cache.is_alive() || handle.object.is_dropped();
    if gone {
        sys::POLLERR | sys::POLLHUP
    } else {
        // As for any file that does not say.
        sys::POLLIN | sys::POLLOUT | sys::POLLRDNORM | sys::POLLWRNORM
    }
}

/// `file_operations.unlocked_ioctl`
///
/// # Safety
///
/// `file` is a file of a handle.
unsafe extern "C" fn ioctl(file: *mut sys::file, command: c_uint, argument: c_ulong) -> c_long {
    // SAFETY: The VFS gives a file of ours.
    match unsafe { Handle::of(file) }.ioctl(command, argument) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}
