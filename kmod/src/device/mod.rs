// SPDX-License-Identifier: GPL-2.0

//! `/dev/cachefiles`: where a daemon binds the cache, reads what is wanted, and
//! answers.
//!
//! | file | what is in it |
//! | --- | --- |
//! | this one | the device, and its file operations |
//! | [`session`] | one opening of it: commands |
//! | [`deliver`] | reading messages |
//! | [`handle`] | the descriptor of an object |
//! | [`extension`] | what ondine adds to the protocol |
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h),
//! [`include/linux/poll.h`](srctree/include/linux/poll.h)

mod deliver;
mod extension;
mod handle;
mod session;

use self::{deliver::Buffer, session::Session};
use crate::{cache::Cache, sys};
use core::mem::offset_of;
use kernel::{
    error::{from_result, to_result},
    fs::File,
    prelude::*,
    sync::{poll::PollTable, Arc},
    types::Opaque,
    uaccess::UserSlice,
};

/// The module, as who owns file operations: it stays while files are open.
const OWNER: *mut sys::module = kernel::module::this_module::<crate::OndineModule>().as_ptr();

/// The registered device.
///
/// # Invariants
///
/// `misc` is registered from the end of the initialiser to the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {
    cache: Arc<Cache>,
    #[pin]
    misc: Opaque<sys::miscdevice>,
}

// SAFETY: After initialisation nothing is changed but by the driver core, which
// locks for itself.
unsafe impl Send for Registration {}
// SAFETY: No method takes `&self` and changes anything.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers the device under the name of the module parameter `device`.
    ///
    /// # Errors
    ///
    /// EEXIST if the name is taken; ENOMEM.
    pub(crate) fn new(cache: Arc<Cache>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cache,
            misc <- Opaque::try_ffi_init(|slot: *mut sys::miscdevice| {
                // SAFETY: `slot` is valid for writes; the parameter's string
                // lives as long as the module, and is not changed after
                // loading (mode 0444). The device stays in place until the drop.
                let result = unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).minor = sys::MISC_DYNAMIC_MINOR.cast_signed();
                    (*slot).name = sys::ondine_device;
                    (*slot).fops = OPS;
                    to_result(sys::misc_register(slot))
                };
                if result == Err(EEXIST) {
                    pr_err!("a device of this name is there already; choose another with device=\n");
                }
                result
            }),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants. Open files hold the module, so that
        // there are none: loading it does not fail once the device is there.
        unsafe { sys::misc_deregister(self.misc.get()) };
    }
}

const OPS: &sys::file_operations = &sys::file_operations {
    owner: OWNER,
    open: Some(open),
    release: Some(release),
    llseek: Some(sys::noop_llseek),
    read: Some(read),
    write: Some(write),
    poll: Some(poll),
    unlocked_ioctl: Some(ioctl),
    compat_ioctl: Some(ioctl),
    ..pin_init::zeroed()
};

/// `file_operations.open`
///
/// # Safety
///
/// `file` is being opened on the misc device of a [`Registration`].
unsafe extern "C" fn open(_inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    from_result(|| {
        // SAFETY: No requirements.
        if !unsafe { sys::ondine_capable_admin() } {
            return Err(EPERM);
        }
        // SAFETY: The misc core puts the device there before it calls us. It
        // is the field of a registration, which lives while files are open.
        let cache = unsafe {
            let misc = (*file).private_data.cast::<sys::miscdevice>();
            let registration = misc.byte_sub(offset_of!(Registration, misc));
            (*registration.cast::<Registration>()).cache.clone()
        };
        let session = Session::new(cache)?;
        // SAFETY: The file is being opened; nobody else uses it.
        unsafe { (*file).private_data = KBox::into_raw(Pin::into_inner_unchecked(session)).cast() };
        Ok(0)
    })
}

/// The session of an open file.
///
/// # Safety
///
/// `file` went through [`open`] with success, and not through [`release`];
/// neither does it during `'a`.
unsafe fn session<'a>(file: *mut sys::file) -> &'a Session {
    // SAFETY: By the caller; `open` put a session there.
    unsafe { &*(*file).private_data.cast::<Session>() }
}

/// `file_operations.release`
///
/// # Safety
///
/// `file` went through [`open`] with success; this is its last use.
unsafe extern "C" fn release(_inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    // SAFETY: By the caller; `open` made the session with `KBox::into_raw`, and
    // it has been pinned since.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw((*file).private_data.cast::<Session>())) });
    0
}

/// `file_operations.read`
///
/// # Safety
///
/// `file` is open.
unsafe extern "C" fn read(
    file: *mut sys::file,
    buf: *mut c_char,
    len: usize,
    _position: *mut i64,
) -> isize {
    // SAFETY: The VFS gives an open file of ours.
    let session = unsafe { session(file) };
    let at = UserPtr::from_ptr(buf.cast());
    sized(deliver::message(session.cache(), Buffer { at, len }))
}

/// `file_operations.write`
///
/// # Safety
///
/// `file` is open.
unsafe extern "C" fn write(
    file: *mut sys::file,
    buf: *const c_char,
    len: usize,
    _position: *mut i64,
) -> isize {
    // SAFETY: The VFS gives an open file of ours.
    let session = unsafe { session(file) };
    let user = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), len);
    sized(session.command(user.reader()).map(|()| len))
}

/// `file_operations.poll`
///
/// # Safety
///
/// `file` is open; `table` is null or valid.
unsafe extern "C" fn poll(file: *mut sys::file, table: *mut sys::poll_table_struct) -> c_uint {
    // SAFETY: The VFS gives an open file of ours, and a table.
    let (session, table, file) = unsafe {
        (
            session(file),
            PollTable::from_raw(table),
            File::from_raw_file(file),
        )
    };
    let cache = session.cache();
    table.register_wait(file, cache.pollers());
    if cache.lock().table.is_readable() {
        sys::POLLIN
    } else {
        0
    }
}

/// `file_operations.unlocked_ioctl`
///
/// # Safety
///
/// `file` is open.
unsafe extern "C" fn ioctl(file: *mut sys::file, command: c_uint, argument: c_ulong) -> c_long {
    // SAFETY: The VFS gives an open file of ours.
    let session = unsafe { session(file) };
    match extension::ask(session.cache(), command, argument) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}

/// A length, as file operations return it.
fn sized(result: Result<usize>) -> isize {
    match result {
        Ok(len) => len.cast_signed(),
        Err(error) => error.to_errno() as isize,
    }
}
