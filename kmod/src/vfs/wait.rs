// SPDX-License-Identifier: GPL-2.0

//! Waiting that a fatal signal ends.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::sys;
use core::ptr;
use kernel::{prelude::*, time::Msecs, types::Opaque};

/// Tasks that wait for something to become true.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<sys::wait_queue_head>,
}

// SAFETY: A wait queue locks for itself.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue in which nobody waits.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|head: *mut sys::wait_queue_head| {
                // SAFETY: `head` is valid for writes, and pinned.
                unsafe { sys::ondine_init_waitqueue(head) }
            }),
        })
    }

    /// Wakes everyone who waits, to look again.
    pub(crate) fn wake_all(&self) {
        // SAFETY: The queue is initialised.
        unsafe { sys::ondine_wake_up_all(self.head.get()) };
    }

    /// Waits until `done` says so; it is asked after every wake-up, and must
    /// not sleep. `limit` bounds the wait, if there is one.
    ///
    /// # Errors
    ///
    /// EINTR if the task is being killed; ETIMEDOUT after `limit`.
    pub(crate) fn wait<D: Fn() -> bool>(&self, limit: Option<Msecs>, done: D) -> Result {
        // 0 stands for no limit.
        let limit = limit.map_or(0, |limit| limit.max(1) as usize);
        // SAFETY: The queue is initialised; the callback gets the pointer that
        // is given here, to a closure that lives during the call.
        let left = unsafe {
            sys::ondine_wait_killable(
                self.head.get(),
                Some(ask::<D>),
                ptr::from_ref(&done).cast_mut().cast(),
                limit,
            )
        };
        match left {
            0 => Err(ETIMEDOUT),
            left if left < 0 => Err(EINTR),
            _ => Ok(()),
        }
    }
}

/// What who looks at metadata gets where waiting for it gives `error`.
///
/// A daemon's errno is about its blob. ENODATA, say, would mean that a file has
/// no attributes.
pub(crate) fn metadata_error(error: Error) -> Error {
    match error {
        EINTR | ETIMEDOUT | ENOMEM => error,
        _ => EIO,
    }
}

/// # Safety
///
/// `data` points to a `D` that outlives the call.
unsafe extern "C" fn ask<D: Fn() -> bool>(data: *mut c_void) -> bool {
    // SAFETY: By the caller.
    unsafe { (*data.cast::<D>())() }
}
