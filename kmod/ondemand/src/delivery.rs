// SPDX-License-Identifier: GPL-2.0

//! Delivery of the next request to a daemon that reads the device.

use crate::{
    completion::{Event, RequestObject},
    message::{Message, SIZE_MAX},
    page::PAGE_SHIFT,
    platform::{CacheOps, ObjectOps},
    requests::{Pending, What},
    run::Run,
    session::is_alive,
    Errno,
};

/// A call of read(2) on the device.
pub trait Receiver<C: CacheOps> {
    /// The file of a descriptor that no process has yet, with a number reserved for
    /// it. Dropping it closes the file.
    type File;

    /// Size of the daemon's buffer in bytes.
    fn buffer_len(&self) -> usize;

    /// A descriptor's file for `object`, and its reserved number.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM.
    fn new_file(&mut self, object: &C::Object) -> Result<(Self::File, u32), Errno>;

    /// Sets the id by which messages name the descriptor.
    fn set_id(&mut self, file: &mut Self::File, id: u32);

    /// Writes a message to the daemon's buffer.
    ///
    /// # Errors
    ///
    /// EFAULT.
    fn send(&mut self, message: &[u8]) -> Result<(), Errno>;

    /// Makes the file a descriptor of the daemon. From then on any of its threads
    /// can use or close it.
    fn install(&mut self, file: Self::File);
}

/// Delivers the next request. Returns the length of its message; 0 if there is none.
///
/// # Errors
///
/// EMSGSIZE if the buffer is too small: the request stays. EFAULT, and the errors of
/// [`Receiver::new_file`]: the request has ended by that.
pub fn deliver<C: CacheOps, R: Receiver<C>>(cache: &C, receiver: &mut R) -> Result<usize, Errno> {
    if !is_alive(cache) {
        return Ok(0);
    }
    loop {
        let mut state = cache.lock();
        let Some(pending) = state.table.peek() else {
            return Ok(0);
        };
        if message_len::<C>(&pending) > receiver.buffer_len() {
            return Err(Errno::EMSGSIZE);
        }
        let (message, object_id, run) = match pending.what {
            What::Open => {
                state.table.begin_open(pending.sequence);
                drop(state);
                match deliver_open(cache, &pending, receiver)? {
                    Some(len) => return Ok(len),
                    // The object was dropped meanwhile.
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
        let len = send(receiver, &message, pending.id(), object_id).inspect_err(|_| {
            undeliverable(cache, pending.sequence, Errno::EIO);
        })?;
        if let Some(run) = run {
            pending.payload.trace(Event::Deliver, run, Ok(()));
        }
        return Ok(len);
    }
}

/// Delivers an OPEN and its descriptor; `None` if the object was dropped meanwhile.
fn deliver_open<C: CacheOps, R: Receiver<C>>(
    cache: &C,
    pending: &Pending<C::Object>,
    receiver: &mut R,
) -> Result<Option<usize>, Errno> {
    let object = &pending.payload;
    let (mut file, fd) = receiver
        .new_file(object)
        .inspect_err(|errno| undeliverable(cache, pending.sequence, *errno))?;
    let Some(id) = cache.lock().table.finish_open(pending.sequence) else {
        return Ok(None);
    };
    receiver.set_id(&mut file, id);
    let message = Message::Open {
        volume_key: object.volume(),
        cookie_key: object.cookie(),
        fd,
    };
    let len = send(receiver, &message, pending.id(), id).inspect_err(|_| {
        undeliverable(cache, pending.sequence, Errno::EFAULT);
    })?;
    receiver.install(file);
    object.trace(Event::Deliver, Run::EMPTY, Ok(()));
    Ok(Some(len))
}

fn message_len<C: CacheOps>(pending: &Pending<C::Object>) -> usize {
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

fn send<C: CacheOps, R: Receiver<C>>(
    receiver: &mut R,
    message: &Message<'_>,
    id: u32,
    object_id: u32,
) -> Result<usize, Errno> {
    let mut bytes = [0u8; SIZE_MAX];
    let len = message
        .encode(id, object_id, &mut bytes)
        .ok_or(Errno::EMSGSIZE)?;
    receiver.send(bytes.get(..len).ok_or(Errno::EMSGSIZE)?)?;
    Ok(len)
}

fn undeliverable<C: CacheOps>(cache: &C, sequence: u64, errno: Errno) {
    cache
        .lock()
        .table
        .undeliverable(sequence, errno, |completion, outcome| {
            completion.cancel(outcome);
        });
}
