// SPDX-License-Identifier: GPL-2.0

//! Reading messages from the device.

use super::handle::Handle;
use crate::{
    cache::{Cache, ObjectRef, Ticket},
    vfs::Event,
};
use kernel::{fs::file::FileDescriptorReservation, prelude::*, sync::Arc, uaccess::UserSlice};
use ondine_ondemand::{
    message::SIZE_MAX,
    presence::PAGE_SHIFT,
    requests::{Pending, What},
    Errno, Message, Run,
};

/// The buffer of a daemon.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    pub(super) at: UserPtr,
    pub(super) len: usize,
}

/// Gives the daemon the next message; 0 bytes if there is none.
///
/// # Errors
///
/// EMSGSIZE if the buffer is too small: the message stays. EFAULT, and what
/// making a descriptor gives: the request has ended by that.
pub(super) fn message(cache: &Arc<Cache>, to: Buffer) -> Result<usize> {
    if !cache.is_alive() {
        return Ok(0);
    }
    loop {
        let mut state = cache.lock();
        let Some(pending) = state.table.peek() else {
            return Ok(0);
        };
        if size_of_message(&pending) > to.len {
            return Err(EMSGSIZE);
        }
        let (message, object_id, run) = match pending.what {
            What::Open => {
                state.table.begin_open(pending.sequence);
                drop(state);
                match open(cache, &pending, to)? {
                    Some(len) => {
                        pending.payload.trace(Event::Deliver, Run::EMPTY, Ok(()));
                        return Ok(len);
                    }
                    // Nobody wants it any more.
                    None => continue,
                }
            }
            What::Close(id) => (Message::Close, id, None),
            What::Read(id, run) => {
                let offset = run.first << PAGE_SHIFT;
                let len = run.count << PAGE_SHIFT;
                (Message::Read { offset, len }, id, Some(run))
            }
        };
        state.table.deliver(pending.sequence);
        drop(state);
        let len = send(to, &message, pending.id(), object_id).inspect_err(|_| {
            // A reader learns that its bytes do not come.
            undeliverable(cache, pending.sequence, Errno::EIO);
        })?;
        if let Some(run) = run {
            pending.payload.trace(Event::Deliver, run, Ok(()));
        }
        return Ok(len);
    }
}

/// Gives the daemon an OPEN and a descriptor; `None` if nobody wants the object
/// any more.
fn open(cache: &Arc<Cache>, pending: &Pending<ObjectRef>, to: Buffer) -> Result<Option<usize>> {
    let object = &pending.payload;
    let made = FileDescriptorReservation::get_unused_fd_flags(0)
        .and_then(|fd| Ok((fd, Handle::file(cache, object)?)));
    let (fd, handle) = made.inspect_err(|&error| {
        let errno = Errno::from_number(error.to_errno().wrapping_neg());
        undeliverable(cache, pending.sequence, errno.unwrap_or(Errno::EIO));
    })?;
    let Some(id) = cache.lock().table.finish_open(pending.sequence) else {
        return Ok(None);
    };
    handle.set_id(id);
    let message = Message::Open {
        volume_key: object.volume(),
        cookie_key: object.cookie(),
        fd: fd.reserved_fd(),
    };
    let len = send(to, &message, pending.id(), id).inspect_err(|_| {
        undeliverable(cache, pending.sequence, Errno::EFAULT);
    })?;
    // Only now: from here on any thread of the daemon can use or close it.
    fd.fd_install(handle.into_file());
    Ok(Some(len))
}

fn size_of_message(pending: &Pending<ObjectRef>) -> usize {
    let message = match pending.what {
        What::Open => Message::Open {
            volume_key: pending.payload.volume(),
            cookie_key: pending.payload.cookie(),
            fd: 0,
        },
        What::Close(_) => Message::Close,
        What::Read(..) => Message::Read { offset: 0, len: 0 },
    };
    message.size()
}

fn send(to: Buffer, message: &Message<'_>, id: u32, object_id: u32) -> Result<usize> {
    let mut bytes = [0u8; SIZE_MAX];
    let len = message.encode(id, object_id, &mut bytes).ok_or(EMSGSIZE)?;
    let bytes = bytes.get(..len).ok_or(EMSGSIZE)?;
    UserSlice::new(to.at, to.len).writer().write_slice(bytes)?;
    Ok(len)
}

fn undeliverable(cache: &Cache, sequence: u64, errno: Errno) {
    let end = |ticket: Arc<Ticket>, outcome| ticket.cancel(outcome);
    cache.lock().table.undeliverable(sequence, errno, end);
}
