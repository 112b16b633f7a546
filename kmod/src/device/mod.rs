// SPDX-License-Identifier: GPL-2.0

//! `/dev/cachefiles`, the device through which a daemon binds the cache, reads
//! requests and answers them.
//!
//! | file | content |
//! | --- | --- |
//! | this one | the device, and its file operations |
//! | [`mod@session`] | one opening of the device: commands |
//! | [`deliver`] | reading messages |
//! | [`handle`] | the descriptor of an object |
//! | [`extension`] | ondine's extensions of the protocol |
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h),
//! [`include/linux/poll.h`](srctree/include/linux/poll.h)

mod deliver;
mod extension;
mod handle;
mod session;

use self::{deliver::DeviceRead, session::Session};
use crate::{
    cache::{error, Cache},
    sys,
};
use core::mem::offset_of;
use kernel::{
    error::{from_result, to_result},
    fs::File,
    prelude::*,
    sync::{poll::PollTable, Arc},
    types::Opaque,
    uaccess::UserSlice,
};
use ondine_ondemand::{delivery, platform::CacheOps};

/// The owner of the file operations: open files hold a reference to the module.
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

// SAFETY: The driver core, which has a lock of its own, is the only one to use `misc`
// after the initialisation, and `Arc<Cache>` is `Send`.
unsafe impl Send for Registration {}
// SAFETY: `misc` is not accessible through `&self`, and `Arc<Cache>` is `Sync`.
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
                // SAFETY: `slot` is valid for writes, and pinned until the drop, which
                // deregisters it. The parameter's string lives as long as the
                // module, and does not change after loading (mode 0444). `cache`,
                // which `open` uses, is initialised before this field.
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
        // SAFETY: By the type invariant. There are no open files, which would hold a
        // reference to the module: this runs at its exit, or if its init fails, and
        // no step of init that can fail follows the registration.
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
        // SAFETY: The function has no requirements.
        if !unsafe { sys::ondine_capable_admin() } {
            return Err(EPERM);
        }
        // SAFETY: misc_open() stores the `miscdevice` there before it calls this
        // function. It is the `misc` field of a registration, whose `cache` is
        // initialised before `misc` is registered, and which lives while files are
        // open.
        let cache = unsafe {
            let misc = (*file).private_data.cast::<sys::miscdevice>();
            let registration = misc.byte_sub(offset_of!(Registration, misc));
            (*registration.cast::<Registration>()).cache.clone()
        };
        let session = Session::new(cache)?;
        // SAFETY: By the caller the file is being opened, so that no other call uses
        // it. The session stays pinned: `release` is the next to own it.
        unsafe { (*file).private_data = KBox::into_raw(Pin::into_inner_unchecked(session)).cast() };
        Ok(0)
    })
}

/// The session of an open file.
///
/// # Safety
///
/// [`open`] of `file` has succeeded, and [`release`] does not run before the end of
/// `'a`.
unsafe fn session<'a>(file: *mut sys::file) -> &'a Session {
    // SAFETY: By the caller; `open` stores a session there.
    unsafe { &*(*file).private_data.cast::<Session>() }
}

/// `file_operations.release`
///
/// # Safety
///
/// [`open`] of `file` has succeeded; this is the last use of the file.
unsafe extern "C" fn release(_inode: *mut sys::inode, file: *mut sys::file) -> c_int {
    // SAFETY: By the caller; the pointer is from `KBox::into_raw` in `open`, of a
    // session that has been pinned since, and nothing else takes it back.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw((*file).private_data.cast::<Session>())) });
    0
}

/// `file_operations.read`
///
/// # Safety
///
/// [`open`] of `file` has succeeded, and the file is open during the call.
unsafe extern "C" fn read(
    file: *mut sys::file,
    buf: *mut c_char,
    len: usize,
    _position: *mut i64,
) -> isize {
    // SAFETY: By the caller.
    let session = unsafe { session(file) };
    let cache = session.cache();
    let mut read = DeviceRead {
        cache,
        buffer: UserPtr::from_ptr(buf.cast()),
        len,
    };
    sized(delivery::deliver(&**cache, &mut read).map_err(error))
}

/// `file_operations.write`
///
/// # Safety
///
/// [`open`] of `file` has succeeded, and the file is open during the call.
unsafe extern "C" fn write(
    file: *mut sys::file,
    buf: *const c_char,
    len: usize,
    _position: *mut i64,
) -> isize {
    // SAFETY: By the caller.
    let session = unsafe { session(file) };
    let user = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), len);
    sized(session.command(user.reader()).map(|()| len))
}

/// `file_operations.poll`
///
/// # Safety
///
/// [`open`] of `file` has succeeded, and the file is open during the call; `table` is
/// null or valid.
unsafe extern "C" fn poll(file: *mut sys::file, table: *mut sys::poll_table_struct) -> c_uint {
    // SAFETY: By the caller; poll() is called without fdget_pos().
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
/// [`open`] of `file` has succeeded, and the file is open during the call.
unsafe extern "C" fn ioctl(file: *mut sys::file, command: c_uint, argument: c_ulong) -> c_long {
    // SAFETY: By the caller.
    let session = unsafe { session(file) };
    match extension::device_ioctl(session.cache(), command, argument) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}

/// The return value of a file operation that returns a length.
fn sized(result: Result<usize>) -> isize {
    match result {
        Ok(len) => len.cast_signed(),
        Err(error) => error.to_errno() as isize,
    }
}
