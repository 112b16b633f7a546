// SPDX-License-Identifier: GPL-2.0

//! Killable waiting.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::sys;
use core::ptr;
use kernel::{prelude::*, time::Msecs, types::Opaque};

/// Lets other tasks run. To be called in loops whose length an image or a caller
/// determines.
///
/// # Errors
///
/// EINTR if the task is being killed.
pub(crate) fn check_killed() -> Result {
    // SAFETY: Has no requirements but that the task may sleep, as it may wherever
    // this module is used.
    if unsafe { sys::ondine_is_killed() } {
        return Err(EINTR);
    }
    Ok(())
}

/// A queue of tasks that wait for conditions.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<sys::wait_queue_head>,
}

// SAFETY: A wait queue may be used from any task, and takes its own lock.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// An empty queue.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|head: *mut sys::wait_queue_head| {
                // SAFETY: `head` is valid for writes, and pinned.
                unsafe { sys::ondine_init_waitqueue(head) }
            }),
        })
    }

    /// Wakes all waiters to re-check their condition.
    pub(crate) fn wake_all(&self) {
        // SAFETY: The queue is initialised.
        unsafe { sys::ondine_wake_up_all(self.head.get()) };
    }

    /// Waits until `done` returns true. It is called before sleeping and after
    /// each wake-up, and must not sleep. `limit` bounds the wait.
    ///
    /// # Errors
    ///
    /// EINTR if the task is being killed; ETIMEDOUT after `limit`.
    pub(crate) fn wait<D: Fn() -> bool>(&self, limit: Option<Msecs>, done: D) -> Result {
        // 0 means no limit.
        let limit = limit.map_or(0, |limit| limit.max(1) as usize);
        // SAFETY: The queue is initialised. The callback is called during this
        // call only, with a pointer to a closure that outlives it.
        let left = unsafe {
            sys::ondine_wait_killable(
                self.head.get(),
                Some(call::<D>),
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

/// # Safety
///
/// `data` points to a `D` that outlives the call.
unsafe extern "C" fn call<D: Fn() -> bool>(data: *mut c_void) -> bool {
    // SAFETY: By the caller.
    unsafe { (*data.cast::<D>())() }
}
