// SPDX-License-Identifier: GPL-2.0

//! Notice of system suspend, before tasks are frozen and after they run again.
//!
//! C header: [`include/linux/suspend.h`](srctree/include/linux/suspend.h)

use crate::sys;
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

/// The callback of a [`SuspendNotifier`].
pub(crate) trait SuspendHandler: Send + Sync + 'static {
    /// Called before tasks are frozen (`begins`), and after they run again.
    fn suspend(&self, begins: bool);
}

/// A registration for system suspend and hibernation.
///
/// # Invariants
///
/// `raw` is registered, with a pointer to the value that `_value` keeps alive, from the
/// end of the initialiser to the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct SuspendNotifier<T: SuspendHandler> {
    #[pin]
    raw: Opaque<sys::ondine_suspend>,
    _value: Arc<T>,
}

// SAFETY: Notifiers may be unregistered from any task; the value is `Send` and `Sync`.
unsafe impl<T: SuspendHandler> Send for SuspendNotifier<T> {}
// SAFETY: No method takes `&self`.
unsafe impl<T: SuspendHandler> Sync for SuspendNotifier<T> {}

impl<T: SuspendHandler> SuspendNotifier<T> {
    /// Registers `value`.
    ///
    /// # Errors
    ///
    /// Those of `register_pm_notifier()`.
    pub(crate) fn new(value: Arc<T>) -> impl PinInit<Self, Error> {
        let data = Arc::as_ptr(&value).cast_mut();
        // INVARIANT: `_value` keeps alive the value that `data` points to. An error
        // fails the initialiser.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(move |raw: *mut sys::ondine_suspend| {
                // SAFETY: `raw` is valid for writes, and pinned until the drop
                // unregisters it.
                to_result(unsafe {
                    sys::ondine_suspend_register(raw, Some(suspend::<T>), data.cast())
                })
            }),
            _value: value,
        })
    }
}

#[pinned_drop]
impl<T: SuspendHandler> PinnedDrop for SuspendNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by the type invariants. Waits for a callback that is
        // running.
        unsafe { sys::ondine_suspend_unregister(self.raw.get()) };
    }
}

/// # Safety
///
/// `data` points to a `T` that outlives the call.
unsafe extern "C" fn suspend<T: SuspendHandler>(data: *mut c_void, begins: bool) {
    // SAFETY: By the caller.
    unsafe { &*data.cast::<T>() }.suspend(begins);
}
