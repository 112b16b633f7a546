// SPDX-License-Identifier: GPL-2.0

//! Something done once a second, for as long as it is needed.
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

/// What is done.
pub(crate) trait Tick: Send + Sync + 'static {
    /// Does it. Returns whether it is to be done again.
    fn tick(&self) -> bool;
}

/// The module's ticker: calls [`Tick::tick`] of a value once a second, after
/// [`start`] and until it has enough.
///
/// # Invariants
///
/// `raw` is initialised, with a pointer to the value that `value` keeps alive.
/// [`TICKER`] names it until the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct Ticker<T: Tick> {
    #[pin]
    raw: Opaque<sys::ondine_ticker>,
    value: Arc<T>,
}

static TICKER: Atomic<*mut sys::ondine_ticker> = Atomic::new(ptr::null_mut());

/// Has the ticker's value called, from a second from now on.
pub(crate) fn start() {
    let raw = TICKER.load(Relaxed);
    if !raw.is_null() {
        // SAFETY: A super block is using us, so that the module's ticker, which
        // outlives their type, is there.
        unsafe { sys::ondine_ticker_start(raw) };
    }
}

// SAFETY: Delayed work may be used from any task.
unsafe impl<T: Tick> Send for Ticker<T> {}
// SAFETY: As above: it locks for itself.
unsafe impl<T: Tick> Sync for Ticker<T> {}

impl<T: Tick> Ticker<T> {
    /// A ticker that stands still.
    pub(crate) fn new(value: Arc<T>) -> impl PinInit<Self> {
        let data = Arc::as_ptr(&value).cast_mut();
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |raw: *mut sys::ondine_ticker| {
                // SAFETY: `raw` is valid for writes, and pinned.
                unsafe { sys::ondine_ticker_init(raw, Some(tick::<T>), data.cast()) }
                TICKER.store(raw, Relaxed);
            }),
            value,
        })
    }
}

#[pinned_drop]
impl<T: Tick> PinnedDrop for Ticker<T> {
    fn drop(self: Pin<&mut Self>) {
        TICKER.store(ptr::null_mut(), Relaxed);
        // SAFETY: By the type invariants; waits for a call that is under way.
        unsafe { sys::ondine_ticker_stop(self.raw.get()) };
    }
}

/// # Safety
///
/// `data` points to a `T` that outlives the call.
unsafe extern "C" fn tick<T: Tick>(data: *mut c_void) -> bool {
    // SAFETY: By the caller.
    unsafe { &*data.cast::<T>() }.tick()
}
