// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/<type>/<id>/`: one directory for each super block.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use super::{FileSystem, SuperBlock};
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

/// Prints one value, without a line end.
type Show<F> = fn(&<F as FileSystem>::Data, &mut PageWriter<'_>) -> fmt::Result;

/// One read-only file.
#[repr(C)]
pub(crate) struct Attribute<F: FileSystem> {
    raw: sys::attribute,
    show: Show<F>,
}

impl<F: FileSystem> Attribute<F> {
    /// A file of this name, with what `show` prints in it.
    // Lockdep adds fields.
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

/// Writes into the page that sysfs gives, or another buffer.
pub(crate) struct PageWriter<'a>(&'a mut [u8]);

impl<'a> PageWriter<'a> {
    /// Writes from the beginning of `buffer` on.
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self(buffer)
    }

    /// Bytes that can be written still.
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

/// `/sys/fs/<type>`
///
/// # Invariants
///
/// The pointer is a valid kset, and its reference is ours.
pub(super) struct Directory(NonNull<sys::kset>);

// SAFETY: A kset may be used from any task.
unsafe impl Send for Directory {}
// SAFETY: As above.
unsafe impl Sync for Directory {}

impl Directory {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: Name and parent are valid; the name is copied.
        let kset =
            unsafe { sys::kset_create_and_add(c"ondine".as_char_ptr(), ptr::null(), sys::fs_kobj) };
        // INVARIANT: Created just now.
        NonNull::new(kset).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { sys::kset_unregister(self.0.as_ptr()) };
    }
}

/// The directory of one super block; it goes when this is dropped.
pub(super) struct Entry<F: FileSystem>(Pin<KBox<Node<F>>>);

#[pin_data]
struct Node<F: FileSystem> {
    #[pin]
    kobject: Opaque<sys::kobject>,
    /// Completed when the last reader of a file in the directory is gone.
    #[pin]
    released: Completion,
    sb: *mut sys::super_block,
    file_system: PhantomData<F>,
}

impl<F: FileSystem> Entry<F> {
    pub(super) fn new(sb: &SuperBlock<F>) -> Result<Self> {
        let node = KBox::try_pin_init(
            try_pin_init!(Node::<F> {
                kobject: Opaque::zeroed(),
                released <- Completion::new(),
                sb: sb.as_raw(),
                file_system: PhantomData,
            }),
            GFP_KERNEL,
        )?;
        let kobject = node.kobject.get();
        // From here on the drop of `entry` unmakes what was made.
        let entry = Self(node);
        // SAFETY: The kobject is zeroed and pinned; the type's directory
        // outlives its super blocks; the name is copied.
        unsafe {
            let directory = super::Registration::<F>::directory_of(sb.as_raw());
            (*kobject).kset = directory.0.as_ptr();
            to_result(sys::kobject_init_and_add(
                kobject,
                Table::<F>::TYPE,
                ptr::null_mut(),
                c"%s".as_char_ptr(),
                sb.id().as_char_ptr(),
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
        // Removes the directory too, if there is one: `kobject_del` would leave
        // the kset once more than a kobject that could not be added has joined it.
        // SAFETY: The kobject was initialised by `new`, and this reference is
        // the first one.
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
    // SAFETY: The drop of the entry waits for this.
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
        // SAFETY: sysfs gives a kobject and an attribute of ours, and a page
        // that only we use. Removing the directory waits for us, and comes
        // before the super block's data goes.
        let (data, attribute, page) = unsafe {
            (
                SuperBlock::<F>::from_raw(node::<F>(kobject).sb).data(),
                &*attribute.cast::<Attribute<F>>(),
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
