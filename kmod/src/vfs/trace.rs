// SPDX-License-Identifier: GPL-2.0

//! Tracepoints: `/sys/kernel/tracing/events/ondine/`.

use crate::sys;
use kernel::prelude::*;

/// Step in the life of a request.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// The request was added to the table.
    Submit,
    /// The daemon has read its message.
    Deliver,
    /// Pages that the daemon has written are about to become present.
    Fill,
    /// The daemon has answered it.
    Complete,
    /// The request ended without an answer.
    Cancel,
}

/// Traces a request for, or a write of, `count` pages from `first` on (none for an
/// OPEN) of the object `cookie` in `volume`. `result` is the result of the request, if
/// it has ended.
pub(crate) fn trace(
    event: Event,
    [volume, cookie]: [&CStr; 2],
    first: u64,
    count: u64,
    result: Result,
) {
    let event = match event {
        Event::Submit => sys::ondine_event_ONDINE_EVENT_SUBMIT,
        Event::Deliver => sys::ondine_event_ONDINE_EVENT_DELIVER,
        Event::Fill => sys::ondine_event_ONDINE_EVENT_FILL,
        Event::Complete => sys::ondine_event_ONDINE_EVENT_COMPLETE,
        Event::Cancel => sys::ondine_event_ONDINE_EVENT_CANCEL,
    };
    let result = result.map_or_else(|error| error.to_errno(), |()| 0);
    // SAFETY: The strings are NUL-terminated, and copied.
    unsafe {
        sys::ondine_trace(
            event,
            volume.as_char_ptr(),
            cookie.as_char_ptr(),
            first,
            count,
            result,
        )
    };
}
