// SPDX-License-Identifier: GPL-2.0

//! The daemon's session: its start and end, its answers, and the objects that it
//! is asked to open.

use crate::{
    command::Answer,
    completion::RequestObject,
    platform::{CacheOps, ObjectOps},
    requests::{Outcome, Refusal},
    state::NewOpen,
    sync::{Acquire, Release},
    Errno,
};

/// Returns whether there is a session.
#[inline]
pub fn is_alive<C: CacheOps>(cache: &C) -> bool {
    cache.alive().load(Acquire)
}

/// Starts a session in `directory`, of whose blocks `stop` per cent must stay free.
/// Reads that wait for a session go on.
pub fn bind<C: CacheOps>(cache: &C, directory: C::Directory, stop: u8) {
    let mut state = cache.lock();
    state.bind(directory, stop);
    cache.alive().store(true, Release);
    drop(state);
    cache.wake_all_waiters();
}

/// Ends the session when the device is closed: completes all requests, and drops
/// the device's pin.
///
/// The table refuses requests from the moment that the pending ones end, within one
/// critical section. A request is completed here, or refused:
///
/// ```text
/// CPU 1 (read)                     CPU 2 (close of the device)
/// lock
///   is the table dead? no
///   submit a request
/// unlock
///                                  lock
///                                    the table is dead
///                                    complete all requests
///                                  unlock
/// ```
///
/// In two sections, a request could be submitted in between, and never be completed.
pub fn detach<C: CacheOps>(cache: &C) {
    let mut state = cache.lock();
    cache.alive().store(false, Release);
    state
        .table
        .die(|completion, outcome| completion.cancel(outcome));
    let directory = state.unpin();
    drop(state);
    drop(directory);
    cache.wake_pollers();
}

/// Drops the pin of a descriptor.
pub fn unpin<C: CacheOps>(cache: &C) {
    let mut state = cache.lock();
    let directory = state.unpin();
    drop(state);
    drop(directory);
}

/// Submits an OPEN of an object, or joins the pending one; `None` if the size is
/// known.
///
/// # Errors
///
/// [`Refusal`].
pub fn open<C: CacheOps>(cache: &C, object: &C::Object) -> Result<Option<C::Completion>, Refusal> {
    let memory = NewOpen::new().ok_or(Refusal::Full)?;
    let mut state = cache.lock();
    // Tested with the lock held: the size is set before its OPEN is removed from the
    // table, so that an OPEN which is not pending has set it.
    if object.contents().is_some() {
        return Ok(None);
    }
    let completion = state.open(object, memory)?;
    drop(state);
    cache.wake_pollers();
    Ok(Some(completion))
}

/// Ends the requests of an object that is no longer used, and tells the daemon. The
/// object [is dropped](ObjectOps::is_dropped) already.
pub fn drop_object<C: CacheOps>(cache: &C, object: &C::Object) {
    cache
        .lock()
        .table
        .drop_object(object.key(), |completion, outcome| {
            completion.cancel(outcome);
        });
    // The device may have a CLOSE to read, and the object's descriptor hangs up.
    cache.wake_pollers();
}

/// Executes `copen`: answers the OPEN `id`. `set_size` makes the object's cache file
/// fit, without the lock.
///
/// # Errors
///
/// EINVAL if there is no such OPEN; the errno of an answer that is none; the error of
/// `set_size`, with which the OPEN fails.
pub fn answer_open<C: CacheOps>(
    cache: &C,
    id: u32,
    answer: Answer,
    set_size: impl FnOnce(&C::Object, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let opened = cache.lock().table.opened(id)?;
    let result = match answer {
        Answer::Size(size) => set_size(&opened.payload, size),
        Answer::Refused(errno) | Answer::Bad(errno) => Err(errno),
    };
    let (answered, readable) =
        cache
            .lock()
            .table
            .answer_open(opened.sequence, result, |completion, outcome| {
                completion.cancel(outcome);
            });
    if let Some(answered) = answered {
        if let Some(completion) = answered.completion {
            completion.complete(answered.outcome);
        }
    }
    if readable {
        cache.wake_pollers();
    }
    match answer {
        // The daemon has done what it wanted.
        Answer::Refused(_) => Ok(()),
        _ => result,
    }
}

/// Executes READ_COMPLETE: answers the READ `id` of an object with `outcome`.
///
/// # Errors
///
/// EINVAL if there is no such READ.
pub fn answer_read<C: CacheOps>(
    cache: &C,
    object: &C::Object,
    id: u32,
    outcome: Outcome,
) -> Result<(), Errno> {
    let completion = cache.lock().table.answer_read(id, object.key())?;
    if let Some(completion) = completion {
        completion.complete(outcome);
    }
    Ok(())
}

/// Executes `restore`: delivered requests are delivered once more.
pub fn restore<C: CacheOps>(cache: &C) {
    cache.lock().table.restore();
    cache.wake_pollers();
}

/// The last reference to the descriptor `id` of an object is gone.
pub fn close_descriptor<C: CacheOps>(cache: &C, object: &C::Object, id: u32) {
    let readable = cache.lock().table.handle_closed(object.key(), id);
    if readable {
        cache.wake_pollers();
    }
}

/// Checks that the cache directory has room for a write. `free` gives the percentage
/// of its blocks that are free, without the lock.
///
/// # Errors
///
/// ENOBUFS if there is no room, or if the cache is not bound; the error of `free`.
pub fn check_room<C: CacheOps>(
    cache: &C,
    free: impl FnOnce(&C::Directory) -> Result<u64, Errno>,
) -> Result<(), Errno> {
    let state = cache.lock();
    let stop = u64::from(state.stop());
    let directory = state.directory()?;
    drop(state);
    if free(&directory)? < stop {
        return Err(Errno::ENOBUFS);
    }
    Ok(())
}
