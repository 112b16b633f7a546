// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Answers to OPENs and READs, with the faults that rules inject.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::io::Errno;

use super::fill::{FillError, Filler};
use super::objects::OpenObject;
use super::receive::Request;
use super::statistics::add;
use super::Session;
use crate::backend::{Backend, BackendError, Version};
use crate::misbehaviour::{Action, Actions, ServiceStep};
use crate::protocol::{Command, MsgId, PAGE};

/// Bit that turns an id into one that the kernel has not allocated: it counts up from 0.
const UNUSED_ID: u32 = 1 << 30;

/// Maximum size of a blob in bytes. Its last page still ends below the largest file offset.
const SIZE_MAX: u64 = i64::MAX as u64 - PAGE;

/// An OPEN that cannot be answered with a size.
enum OpenError {
    /// The backend could not tell the version.
    Fetch(BackendError),
    /// It is refused with this errno. The log has the reason.
    Refused(Errno),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl<B: Backend> Session<B> {
    /// Answers an OPEN, unless it is to be tried again. Returns the object if the kernel accepted its
    /// size.
    pub(super) fn serve_open(&self, request: Request) -> Option<Arc<OpenObject>> {
        let version = match request.actions.refusal() {
            Some(errno) => Err(OpenError::Refused(errno)),
            None => self.blob_version(&request.open),
        };
        let (request, version) = match version {
            Ok(version) => (request, Ok(version)),
            Err(OpenError::Refused(errno)) => (request, Err(errno)),
            Err(OpenError::Fetch(error)) => {
                let request = self.postpone(request, &error)?;
                let (blob, attempts) = (&request.open.blob, request.retry.attempts);
                tracing::error!("OPEN of {blob}: {error} (attempts: {attempts})");
                (*request, Err(Errno::IO))
            }
        };
        let Request {
            id, open, actions, ..
        } = request;
        let actions = &actions;
        let size = version.map(|version| {
            let size = version.size;
            // An OPEN is delivered once, so the version was not set before.
            let _ = open.version.set(version);
            size
        });
        let object = open.id;
        let open = match size {
            Ok(_) if !actions.has(Action::CloseEarly) => Some(open),
            // Close the descriptor before answering with an error: after a refused re-opening, the
            // kernel holds back all READs of the object until its descriptor is closed
            // (docs/spec/cachefiles-ondemand.md section 5.1).
            _ => {
                self.objects.remove(object);
                drop(open);
                None
            }
        };
        if size.is_err() {
            add(&self.counters.refused_opens, 1);
        }
        let answered = self.answer(id, actions, |id| {
            self.device.command(Command::Copen(id, size).encode())
        });
        if answered.is_err() {
            // The OPEN is gone from the kernel. It opens the blob again with a new descriptor.
            self.objects.remove(object);
            return None;
        }
        open
    }

    /// Version of the object's blob, which the cache file has no bytes of another one of; or the errno
    /// to refuse its OPEN with.
    fn blob_version(&self, open: &OpenObject) -> Result<Version, OpenError> {
        match self.backend.version(&open.blob) {
            Ok(Some(version)) if version.size > SIZE_MAX => {
                tracing::error!(
                    "OPEN of {}: {} bytes exceed the largest file size",
                    open.blob,
                    version.size
                );
                Err(Errno::FBIG.into())
            }
            Ok(Some(version)) => {
                let in_use = || {
                    // Seeking fails until the kernel has looked at the cache file, which it does when
                    // the first OPEN of a mount is answered.
                    open.object.seek_data(0) != Err(Errno::NOBUFS)
                        || self.objects.has_version(&open.blob)
                };
                let admitted = self.records.as_ref().map_or(Ok(()), |records| {
                    records.admit(&open.blob, &version, in_use)
                });
                if let Err(error) = admitted {
                    tracing::error!("OPEN of {}: {error}", open.blob);
                    return Err(Errno::STALE.into());
                }
                tracing::info!("OPEN of {}: {version}", open.blob);
                Ok(version)
            }
            Ok(None) => {
                tracing::warn!("OPEN of {}: the backend has no such blob", open.blob);
                Err(Errno::NOENT.into())
            }
            Err(error) => Err(OpenError::Fetch(error)),
        }
    }

    /// Keeps a request for another attempt if `error` may pass. Otherwise gives it back, to be answered.
    fn postpone(&self, mut request: Request, error: &BackendError) -> Option<Box<Request>> {
        let now = Instant::now();
        let pause = request.retry.pause(error, now, self.options.patience);
        let Some(pause) = pause else {
            return Some(Box::new(request));
        };
        tracing::warn!("{error}; next attempt in {pause:?}");
        self.postponed.put(now + pause, request).err()
    }

    /// Answers a READ, unless it is to be tried again. Pages that could not be fetched or written stay
    /// missing: their readers get the backend's errno if the kernel supports it, and EIO otherwise.
    pub(super) fn serve_read(&self, request: Request, range: Range<u64>, filler: &mut Filler<'_>) {
        let limit = range.start.saturating_add(request.actions.write_limit());
        let to_write = range.start..range.end.min(limit);
        let filled = filler.fill(&request.open, to_write, &request.actions);
        let request = match &filled {
            Err(FillError::Fetch(error)) => match self.postpone(request, error) {
                None => return,
                Some(request) => *request,
            },
            _ => request,
        };
        let Request {
            id,
            open,
            actions,
            retry,
            ..
        } = request;
        let actions = &actions;
        let mut reader_errno = None;
        if let Err(error) = filled {
            let attempts = retry.attempts.max(1);
            tracing::error!(
                "READ {range:?} of {}: {error} (attempts: {attempts})",
                open.blob
            );
            add(&self.counters.failed_reads, 1);
            reader_errno = error.reader_errno().filter(|_| self.read_errors);
        } else if open
            .version
            .get()
            .is_some_and(|version| range.end > version.size.next_multiple_of(PAGE))
        {
            tracing::error!("READ {range:?} of {}: past the end of the blob", open.blob);
            add(&self.counters.failed_reads, 1);
        }
        if actions.has(Action::CloseEarly) {
            self.objects.remove(open.id);
            return;
        }
        if actions.has(Action::WrongObject) {
            for other in self.objects.others(open.id) {
                let result = other.object.complete(id);
                tracing::info!(
                    "READ {id} completed on {}: {}",
                    other.blob,
                    describe(result)
                );
            }
        }
        let send = |id| match reader_errno {
            Some(errno) => open.object.fail(id, errno),
            None => open.object.complete(id),
        };
        // A refused answer is logged and counted; there is nothing to undo.
        let _ = self.answer(id, actions, send);
    }

    /// Sends an answer by `send`, with the faults of `actions`. Returns the kernel's reply to it.
    fn answer(
        &self,
        id: MsgId,
        actions: &Actions,
        send: impl Fn(MsgId) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        thread::sleep(actions.delay());
        actions.reach(ServiceStep::BeforeAnswer);
        if actions.has(Action::WrongId) {
            let wrong = MsgId(id.0 ^ UNUSED_ID);
            // Outside of the macro, whose arguments are evaluated only if the level is enabled.
            let reply = send(wrong);
            tracing::info!("answer to {wrong} instead of {id}: {}", describe(reply));
        }
        let result = match actions.has(Action::Never) {
            true => Ok(()),
            false => send(id),
        };
        if let Err(errno) = result {
            // The request is gone, because its reader was killed or the image was unmounted.
            tracing::warn!("the kernel refuses the answer to message {id}: {errno}");
            add(&self.counters.failed_answers, 1);
        }
        if actions.has(Action::Twice) {
            let reply = send(id);
            tracing::info!("second answer to {id}: {}", describe(reply));
        }
        actions.reach(ServiceStep::AfterAnswer);
        result
    }
}

/// The kernel's reply to an answer, for the log.
fn describe(result: Result<(), Errno>) -> String {
    result.map_or_else(|errno| errno.to_string(), |()| "accepted".to_owned())
}
