// SPDX-License-Identifier: GPL-2.0

//! Registering the file system type.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{fill_super, fs_context, fs_type::FsType, FileSystem};
use crate::sys;
use kernel::{prelude::*, sync::Arc};

/// Longest name of a file system type, in bytes.
const NAME_MAX: usize = 32;

/// A registered file system type.
///
/// # Invariants
///
/// `fs_type` is registered from the end of the initialiser to the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<F: FileSystem> {
    #[pin]
    fs_type: FsType<F>,
}

// SAFETY: After initialisation only the VFS changes a file system type, under its
// own locks; the other fields of `FsType` may be used from any task.
unsafe impl<F: FileSystem> Send for Registration<F> {}
// SAFETY: The one method that takes `&self` stores to an atomic.
unsafe impl<F: FileSystem> Sync for Registration<F> {}

impl<F: FileSystem> Registration<F> {
    /// Registers the type under the name of the module parameter `fstype`.
    ///
    /// # Errors
    ///
    /// EINVAL if the name is not valid; EBUSY if it is taken; ENOMEM.
    pub(crate) fn new(
        module: &'static ThisModule,
        shared: Arc<F::Shared>,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            // SAFETY: The module's parameters live as long as the module, and do
            // not change after loading (mode 0444).
            let name = unsafe { CStr::from_char_ptr(sys::ondine_fstype) };
            if !is_name(name.to_bytes()) {
                pr_err!("fstype= takes 1 to 32 letters, digits, '-' and '_'\n");
                return Err(EINVAL);
            }
            let raw = sys::file_system_type {
                name: name.as_char_ptr(),
                owner: module.as_ptr(),
                init_fs_context: Some(fs_context::init_fs_context::<F>),
                kill_sb: Some(fill_super::kill_sb::<F>),
                fs_flags: (sys::FS_REQUIRES_DEV | sys::FS_ALLOW_IDMAP).cast_signed(),
                ..pin_init::zeroed()
            };
            // INVARIANT: An error from `register` fails the initialiser.
            Ok(try_pin_init!(Self {
                fs_type <- FsType::new(raw, shared).pin_chain(|fs_type| {
                    // SAFETY: The type is pinned and new; the drop of the
                    // registration unregisters it.
                    unsafe { fs_type.register() }.inspect_err(|&error| {
                        if error == EBUSY {
                            pr_err!("file system type is registered already; choose another with fstype=\n");
                        }
                    })
                }),
            }))
        })
    }

    /// Allows the type to be mounted; module init must not fail afterwards.
    pub(crate) fn open(&self) {
        self.fs_type.open();
    }
}

#[pinned_drop]
impl<F: FileSystem> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the type is registered. A super block
        // holds a reference of the module, so that none exists when the module
        // exits; when init fails, `open` was not called.
        unsafe { self.fs_type.unregister() };
    }
}

/// Returns whether `name` is valid for a file system type. The kernel would take
/// the part after a dot for a subtype, and has a `BUG` for such a type.
fn is_name(name: &[u8]) -> bool {
    let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_MAX).contains(&name.len()) && name.iter().all(is_valid)
}
