// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/ondine/`: one read-only file with the state of the module.
//!
//! The kernel crate's `debugfs` is not used: the file operations that it makes
//! name no owner, and debugfs looks for `release` in them when a file is closed,
//! which may be after the module is gone. "Short" operations have no `release`,
//! and debugfs guards their other ones against removal.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::PageWriter;
use crate::sys;
use core::{fmt, marker::PhantomData};
use kernel::{prelude::*, sync::Arc};

/// Bytes that a report has at most.
const REPORT_MAX: usize = 512;

/// What can be looked at.
pub(crate) trait Report: Send + Sync + 'static {
    /// Prints lines, of [`REPORT_MAX`] bytes at most together.
    fn report(&self, to: &mut PageWriter<'_>) -> fmt::Result;
}

/// The directory, with the file `state` in it; both go when this is dropped.
///
/// A kernel without debugfs, or one that has no memory for it, has neither; that
/// is no error.
///
/// # Invariants
///
/// `directory` is what `ondine_debugfs_create` gave, with a pointer to the value
/// that `_value` keeps alive, and has not been removed.
pub(crate) struct DebugDirectory<T: Report> {
    directory: *mut sys::dentry,
    _value: Arc<T>,
}

// SAFETY: Entries of debugfs may be removed by any task.
unsafe impl<T: Report> Send for DebugDirectory<T> {}
// SAFETY: Nothing can be done with `&self`.
unsafe impl<T: Report> Sync for DebugDirectory<T> {}

impl<T: Report> DebugDirectory<T> {
    /// Shows `value`.
    pub(crate) fn new(value: Arc<T>) -> Self {
        let data = Arc::as_ptr(&value).cast_mut().cast();
        // SAFETY: The value lives until the drop, which removes the file before;
        // the operations are static, and for a file with such a value.
        let directory = unsafe { sys::ondine_debugfs_create(data, Operations::<T>::TABLE) };
        // INVARIANT: Created just now.
        Self {
            directory,
            _value: value,
        }
    }
}

impl<T: Report> Drop for DebugDirectory<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. This waits for those who read the
        // file now; nobody can afterwards.
        unsafe { sys::ondine_debugfs_remove(self.directory) };
    }
}

struct Operations<T>(PhantomData<T>);

impl<T: Report> Operations<T> {
    const TABLE: &'static sys::debugfs_short_fops = &sys::debugfs_short_fops {
        read: Some(read::<T>),
        ..pin_init::zeroed()
    };
}

/// `debugfs_short_fops.read`
///
/// # Safety
///
/// `file` is the file of a [`DebugDirectory`] of a `T`; `to` is a pointer of user
/// space, and `position` is the file's own.
unsafe extern "C" fn read<T: Report>(
    file: *mut sys::file,
    to: *mut c_char,
    len: usize,
    position: *mut i64,
) -> isize {
    // SAFETY: `simple_open` put the pointer there that the file was made with;
    // debugfs keeps the directory from being removed meanwhile.
    let value = unsafe { &*(*file).private_data.cast::<T>() };
    let mut text = [0u8; REPORT_MAX];
    let mut writer = PageWriter::new(&mut text);
    if value.report(&mut writer).is_err() {
        return EFBIG.to_errno() as isize;
    }
    let room = writer.room();
    // SAFETY: By the caller; that much of the text was written.
    unsafe {
        sys::simple_read_from_buffer(
            to.cast(),
            len,
            position,
            text.as_ptr().cast(),
            REPORT_MAX.wrapping_sub(room),
        )
    }
}
