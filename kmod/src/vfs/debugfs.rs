// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/ondine/`: one read-only file with the state of the module.
//!
//! The kernel crate's `debugfs` is not used: its file operations have no owner,
//! and debugfs looks for `release` in them when a file is closed, which may be
//! after the module was unloaded. "Short" operations have no `release`, and
//! debugfs guards the others against removal.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::PageWriter;
use crate::sys;
use core::{fmt, marker::PhantomData};
use kernel::{prelude::*, sync::Arc};

/// Longest report, in bytes.
const REPORT_MAX: usize = 512;

/// State that is shown in debugfs.
pub(crate) trait Report: Send + Sync + 'static {
    /// Prints the state, as lines of [`REPORT_MAX`] bytes at most in total.
    fn report(&self, to: &mut PageWriter<'_>) -> fmt::Result;
}

/// The directory and the file `state` in it, which are removed on drop.
///
/// Without debugfs or memory for it neither exists, which is no error.
///
/// # Invariants
///
/// `directory` is the result of `ondine_debugfs_create`, called with a pointer to
/// the value that `_value` keeps alive, and has not been removed.
pub(crate) struct DebugDirectory<T: Report> {
    directory: *mut sys::dentry,
    _value: Arc<T>,
}

// SAFETY: debugfs entries may be removed by any task; the value is `Send`,
// `Sync`.
unsafe impl<T: Report> Send for DebugDirectory<T> {}
// SAFETY: No method takes `&self`.
unsafe impl<T: Report> Sync for DebugDirectory<T> {}

impl<T: Report> DebugDirectory<T> {
    /// Creates the directory, to show `value`.
    pub(crate) fn new(value: Arc<T>) -> Self {
        let data = Arc::as_ptr(&value).cast_mut().cast();
        // SAFETY: The drop removes the file before it drops the value; the
        // operations are static, and for a file with a pointer to a `T`.
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
        // SAFETY: By the type invariants. Waits for tasks that are reading the
        // file.
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
/// `file` is the file of a [`DebugDirectory`] of a `T`; `to` is a user pointer;
/// `position` is the position of the file.
unsafe extern "C" fn read<T: Report>(
    file: *mut sys::file,
    to: *mut c_char,
    len: usize,
    position: *mut i64,
) -> isize {
    // SAFETY: `simple_open()` stored the pointer that the file was created with;
    // debugfs keeps the file from being removed during the call.
    let value = unsafe { &*(*file).private_data.cast::<T>() };
    let mut text = [0u8; REPORT_MAX];
    let mut writer = PageWriter::new(&mut text);
    if value.report(&mut writer).is_err() {
        return EFBIG.to_errno() as isize;
    }
    let room = writer.room();
    // SAFETY: By the caller; the length is that of the text which was written.
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
