// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/ondine/<id>/`: a directory for each super block.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use super::FileSystem;
use crate::sys;
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    mem::offset_of,
    ptr::{self, NonNull},
    slice,
};
use kernel::{
    error::{from_result, to_result},
    page::PAGE_SIZE,
    prelude::*,
    sync::Completion,
    types::Opaque,
};

/// Prints the value of a file, without a line feed.
type Show<F> = fn(&<F as FileSystem>::Data, &mut PageWriter<'_>) -> fmt::Result;

/// A read-only file of the directory.
#[repr(C)]
pub(crate) struct SysfsAttribute<F: FileSystem> {
    raw: sys::attribute,
    show: Show<F>,
}

impl<F: FileSystem> SysfsAttribute<F> {
    /// A file with this name; `show` prints its content.
    // `needless_update`: with lockdep the struct has further fields.
    #[allow(clippy::needless_update)]
    pub(crate) const fn new(name: &'static CStr, show: Show<F>) -> Self {
        Self {
            raw: sys::attribute {
                name: name.to_bytes_with_nul().as_ptr(),
                mode: 0o444,
                ..pin_init::zeroed()
            },
            show,
        }
    }
}

/// Formatted text in a buffer of fixed size, such as the page of sysfs.
pub(crate) struct PageWriter<'a>(&'a mut [u8]);

impl<'a> PageWriter<'a> {
    /// An empty text, to be written to `buffer`.
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self(buffer)
    }

    /// Bytes that can still be written.
    pub(super) fn room(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Write for PageWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (to, rest) = core::mem::take(&mut self.0)
            .split_at_mut_checked(text.len())
            .ok_or(fmt::Error)?;
        for (to, from) in to.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        self.0 = rest;
        Ok(())
    }
}

/// `/sys/fs/ondine`, whatever name the file system type is registered under.
///
/// # Invariants
///
/// The pointer is to a valid kset, and `self` owns a reference to it.
pub(super) struct Directory(NonNull<sys::kset>);

// SAFETY: A kset may be used and released by any task.
unsafe impl Send for Directory {}
// SAFETY: As above; kobjects take their own locks.
unsafe impl Sync for Directory {}

impl Directory {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: Name and parent are valid; the name is copied.
        let kset =
            unsafe { sys::kset_create_and_add(c"ondine".as_char_ptr(), ptr::null(), sys::fs_kobj) };
        // INVARIANT: Just created.
        NonNull::new(kset).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { sys::kset_unregister(self.0.as_ptr()) };
    }
}

/// The directory of a super block, removed on drop.
pub(super) struct Entry<F: FileSystem>(Pin<KBox<Node<F>>>);

#[pin_data]
struct Node<F: FileSystem> {
    #[pin]
    kobject: Opaque<sys::kobject>,
    /// Completed by the release of the kobject.
    #[pin]
    released: Completion,
    data: *const F::Data,
}

impl<F: FileSystem> Entry<F> {
    /// Creates the directory `name` in `directory`, with the files of
    /// [`FileSystem::ATTRIBUTES`] in it.
    ///
    /// # Errors
    ///
    /// EEXIST if the name is taken; ENOMEM.
    ///
    /// # Safety
    ///
    /// `directory` and `data` outlive the result.
    pub(super) unsafe fn new(directory: &Directory, name: &CStr, data: &F::Data) -> Result<Self> {
        let node = KBox::try_pin_init(
            try_pin_init!(Node::<F> {
                kobject: Opaque::zeroed(),
                released <- Completion::new(),
                data: ptr::from_ref(data),
            }),
            GFP_KERNEL,
        )?;
        let kobject = node.kobject.get();
        // From here on an error drops `entry`, which removes the directory.
        let entry = Self(node);
        // SAFETY: The kobject is zeroed and pinned; by the caller the directory
        // outlives it; the name is copied.
        unsafe {
            (*kobject).kset = directory.0.as_ptr();
            to_result(sys::kobject_init_and_add(
                kobject,
                Table::<F>::TYPE,
                ptr::null_mut(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            ))?;
        }
        for attribute in F::ATTRIBUTES {
            // SAFETY: The kobject is added; the attribute is static.
            to_result(unsafe {
                sys::sysfs_create_file_ns(kobject, &raw const attribute.raw, ptr::null())
            })?;
        }
        Ok(entry)
    }
}

impl<F: FileSystem> Drop for Entry<F> {
    fn drop(&mut self) {
        // Removes the directory too, if it was added. `kobject_del()` would be
        // wrong for a kobject that was not: it drops a reference to the kset that
        // such a kobject does not own.
        // SAFETY: `new` initialised the kobject, and this drops its first
        // reference.
        unsafe { sys::kobject_put(self.0.kobject.get()) };
        self.0.released.wait_for_completion();
    }
}

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const TYPE: &'static sys::kobj_type = &sys::kobj_type {
        release: Some(release::<F>),
        sysfs_ops: Self::OPS,
        ..pin_init::zeroed()
    };

    const OPS: &'static sys::sysfs_ops = &sys::sysfs_ops {
        show: Some(show::<F>),
        store: None,
    };
}

/// # Safety
///
/// `kobject` is the field of a live [`Node`].
unsafe fn node<'a, F: FileSystem>(kobject: *mut sys::kobject) -> &'a Node<F> {
    // SAFETY: By the caller.
    unsafe { &*kobject.byte_sub(offset_of!(Node<F>, kobject)).cast() }
}

/// `kobj_type.release`
///
/// # Safety
///
/// `kobject` is the field of a live [`Node`].
unsafe extern "C" fn release<F: FileSystem>(kobject: *mut sys::kobject) {
    // SAFETY: By the caller: the drop of the entry waits for the completion.
    unsafe { node::<F>(kobject) }.released.complete_all();
}

/// `sysfs_ops.show`
///
/// # Safety
///
/// `kobject` is the field of a live [`Node`], `attribute` one of `F::ATTRIBUTES`;
/// `page` is a page that only this call uses.
unsafe extern "C" fn show<F: FileSystem>(
    kobject: *mut sys::kobject,
    attribute: *mut sys::attribute,
    page: *mut c_char,
) -> isize {
    let result = from_result(|| {
        // SAFETY: By the caller. Removing the directory waits for this function,
        // and by the contract of `Entry::new` comes before the data is dropped.
        let (data, attribute, page) = unsafe {
            (
                &*node::<F>(kobject).data,
                &*attribute.cast::<SysfsAttribute<F>>(),
                slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE),
            )
        };
        let mut writer = PageWriter::new(page);
        (attribute.show)(data, &mut writer)
            .and_then(|()| writer.write_str("\n"))
            .map_err(|_| EINVAL)?;
        Ok(PAGE_SIZE.wrapping_sub(writer.room()) as c_int)
    });
    result as isize
}
