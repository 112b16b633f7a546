// SPDX-License-Identifier: GPL-2.0

//! `statfs(2)`, and the mount options in `/proc/mounts`.
//!
//! C headers: [`include/linux/statfs.h`](srctree/include/linux/statfs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use super::{FileSystem, SuperBlock};
use crate::sys;
use core::{fmt, ptr};
use kernel::{error::from_result, prelude::*, seq_file::SeqFile};

/// Result of `statfs(2)` that depends on the image.
pub(crate) struct StatFs {
    /// Number of blocks, on all devices together.
    pub(crate) blocks: u64,
    /// Number of inodes.
    pub(crate) files: u64,
    /// Longest file name, in bytes.
    pub(crate) name_len: u32,
}

/// `super_operations.statfs`
///
/// # Safety
///
/// `dentry` is of a mounted super block of type `F`; `buf` is valid, and only
/// this call uses it.
pub(super) unsafe extern "C" fn statfs<F: FileSystem>(
    dentry: *mut sys::dentry,
    buf: *mut kernel::bindings::kstatfs,
) -> c_int {
    from_result(|| {
        // SAFETY: By the caller.
        unsafe {
            let sb = SuperBlock::<F>::from_raw((*dentry).d_sb);
            let stat = F::statfs(sb);
            let buf = &mut *buf.cast::<sys::kstatfs>();
            buf.f_type = F::MAGIC as isize;
            buf.f_bsize = sb.block_size() as isize;
            buf.f_blocks = stat.blocks;
            // As the C driver: an image of a fixed number of inodes is not full,
            // which is what `df -i` and inode alarms take 0 free ones for.
            buf.f_files = u64::MAX;
            buf.f_ffree = u64::MAX.wrapping_sub(stat.files);
            buf.f_namelen = stat.name_len as isize;
            sys::ondine_fill_fsid(sb.as_raw(), buf);
        }
        Ok(0)
    })
}

/// Destination of mount options, for `/proc/mounts`.
pub(crate) struct OptionWriter<'a>(&'a SeqFile);

impl OptionWriter<'_> {
    /// Prints `,option`.
    pub(crate) fn add(&mut self, option: fmt::Arguments<'_>) {
        self.0.call_printf(format_args!(",{option}"));
    }

    /// Prints `,name=value`, with separators in the value escaped.
    pub(crate) fn add_value(&mut self, name: &str, value: &CStr) {
        self.0.call_printf(format_args!(",{name}="));
        // SAFETY: The sequence file is valid while `self` is; the strings are
        // NUL-terminated.
        unsafe {
            sys::seq_escape_mem(
                ptr::from_ref(self.0).cast_mut().cast(),
                value.as_char_ptr(),
                value.to_bytes().len(),
                sys::ONDINE_CONST_ESCAPE_OCTAL,
                c" \t\n\\,".as_char_ptr(),
            )
        };
    }
}

/// `super_operations.show_options`
///
/// # Safety
///
/// `root` is of a mounted super block of type `F`; `seq` is valid, and only this
/// call uses it.
pub(super) unsafe extern "C" fn show_options<F: FileSystem>(
    seq: *mut sys::seq_file,
    root: *mut sys::dentry,
) -> c_int {
    // SAFETY: By the caller.
    unsafe {
        let data = SuperBlock::<F>::from_raw((*root).d_sb).data();
        F::show_options(data, &mut OptionWriter(SeqFile::from_raw(seq)));
    }
    0
}
