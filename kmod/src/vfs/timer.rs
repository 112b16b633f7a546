// SPDX-License-Identifier: GPL-2.0

//! The module's timer: a callback once a second, while there is need for it.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::sys;
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
    types::Opaque,
};

/// The callback of a timer.
pub(crate) trait TimerHandler: Send + Sync + 'static {
    /// Called when the timer expires, in a task of a workqueue. Returns whether
    /// the timer is to expire again, a second later.
    fn expired(&self) -> bool;
}

/// A timer, stopped until [`start`] is called.
///
/// # Invariants
///
/// - `raw` is initialised, with a pointer to the value that `value` keeps alive.
/// - [`TIMER`] points to `raw` until the drop.
#[pin_data(PinnedDrop)]
pub(super) struct Timer<T: TimerHandler> {
    #[pin]
    raw: Opaque<sys::ondine_timer>,
    value: Arc<T>,
}

static TIMER: Atomic<*mut sys::ondine_timer> = Atomic::new(ptr::null_mut());

/// Starts the module's timer: it expires in a second, unless it is running.
///
/// The timer outlives every caller of this function, for the reasons that
/// [`WorkQueue::get`](super::workqueue::WorkQueue::get) gives.
pub(crate) fn start() {
    let raw = TIMER.load(Relaxed);
    if !raw.is_null() {
        // SAFETY: Initialised by the type invariants, and not dropped before this
        // returns, see above.
        unsafe { sys::ondine_timer_start(raw) };
    }
}

// SAFETY: Delayed work may be started and cancelled from any task; the value is
// `Send` and `Sync`.
unsafe impl<T: TimerHandler> Send for Timer<T> {}
// SAFETY: As above; the workqueue code takes its own locks.
unsafe impl<T: TimerHandler> Sync for Timer<T> {}

impl<T: TimerHandler> Timer<T> {
    /// A stopped timer; the module has one.
    pub(super) fn new(value: Arc<T>) -> impl PinInit<Self> {
        let data = Arc::as_ptr(&value).cast_mut();
        // INVARIANT: `value` keeps alive the value that `data` points to.
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |raw: *mut sys::ondine_timer| {
                // SAFETY: `raw` is valid for writes, and pinned.
                unsafe { sys::ondine_timer_init(raw, Some(expired::<T>), data.cast()) }
                TIMER.store(raw, Relaxed);
            }),
            value,
        })
    }
}

#[pinned_drop]
impl<T: TimerHandler> PinnedDrop for Timer<T> {
    fn drop(self: Pin<&mut Self>) {
        TIMER.store(ptr::null_mut(), Relaxed);
        // SAFETY: Initialised by the type invariants. Waits for a callback that
        // is running.
        unsafe { sys::ondine_timer_stop(self.raw.get()) };
    }
}

/// # Safety
///
/// `data` points to a `T` that outlives the call.
unsafe extern "C" fn expired<T: TimerHandler>(data: *mut c_void) -> bool {
    // SAFETY: By the caller.
    unsafe { &*data.cast::<T>() }.expired()
}
