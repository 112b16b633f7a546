// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The receiving thread: turns the kernel's messages into requests for the workers.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{mpsc, Arc};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{retry_on_intr, Errno};

use super::objects::OpenObject;
use super::retry::Retry;
use super::statistics::add;
use super::{Session, SessionError};
use crate::backend::{Backend, BlobKey};
use crate::misbehaviour::{Actions, MessageKind, ServiceStep};
use crate::protocol::{Message, MsgId, Object, Operation, ReceiveError, Received, MSG_MAX};

/// A message that a worker has to answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: MsgId,
    /// The reference keeps the descriptor open until the request is answered, even if a CLOSE arrives
    /// before.
    pub(super) open: Arc<OpenObject>,
    pub(super) kind: RequestKind,
    pub(super) actions: Actions,
    pub(super) received: Instant,
    pub(super) retry: Retry,
}

/// The operation of a [`Request`].
#[derive(Clone, Debug)]
pub(super) enum RequestKind {
    Open,
    /// Bytes of the blob to fetch.
    Read(Range<u64>),
}

impl<B: Backend> Session<B> {
    /// Passes the kernel's messages to the workers until the session stops or fails.
    pub(super) fn receive(&self, requests: &mpsc::Sender<Request>) -> Result<(), SessionError> {
        let mut matcher = self.options.plan.matcher();
        let mut buffer = [0; MSG_MAX];
        while self.wait()? {
            let (mut reads, mut others) = (false, false);
            while !self.stopping.load(Ordering::Relaxed) {
                let Received { message, object } = match self.device.read_message(&mut buffer) {
                    Ok(Some(received)) => received,
                    Ok(None) => break,
                    // The kernel failed one OPEN with this errno. Other messages may follow it.
                    Err(ReceiveError::Read(
                        errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::EXIST),
                    )) => {
                        tracing::error!("the kernel failed an OPEN: {errno}");
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                tracing::debug!(?message, "received");
                let kind = match message.operation {
                    Operation::Open { .. } => MessageKind::Open,
                    Operation::Close => MessageKind::Close,
                    Operation::Read { .. } => MessageKind::Read,
                };
                self.counters.received(kind);
                match kind {
                    MessageKind::Read => reads = true,
                    MessageKind::Open | MessageKind::Close => others = true,
                }
                let actions = matcher.next(kind);
                if !actions.is_empty() {
                    tracing::info!("{kind} {}: {actions}", message.id);
                }
                actions.reach(ServiceStep::Received);
                if let Some(request) = self.request(&message, object, actions) {
                    // The workers keep the receiver until this sender is dropped.
                    let _ = requests.send(request);
                }
            }
            if reads || !others {
                add(&self.counters.read_wakeups, 1);
            }
        }
        Ok(())
    }

    /// Waits for messages. Returns false if the session is to stop.
    fn wait(&self) -> Result<bool, SessionError> {
        let mut polled = [
            PollFd::new(&self.device, PollFlags::IN),
            PollFd::new(&self.wake.0, PollFlags::IN),
        ];
        // A signal that stops the session also writes to the wake socket, so EINTR can be retried.
        retry_on_intr(|| rustix::event::poll(&mut polled, None)).map_err(io::Error::from)?;
        if self.stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if polled[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
        {
            return Err(SessionError::Dead);
        }
        Ok(true)
    }

    /// Updates the table of objects for a message. Returns the request that it makes; `None` if it needs
    /// no answer.
    fn request(
        &self,
        message: &Message<'_>,
        object: Option<Object>,
        actions: Actions,
    ) -> Option<Request> {
        let (open, kind) = match (message.operation, object) {
            (Operation::Open { volume, cookie, .. }, Some(object)) => {
                let blob = BlobKey {
                    volume: volume.to_vec(),
                    cookie: cookie.to_vec(),
                };
                let open = self.objects.insert(message.object, object, blob);
                (open, RequestKind::Open)
            }
            (Operation::Read { offset, len }, _) => {
                let Some(open) = self.objects.get(message.object) else {
                    tracing::warn!("READ {} of an object that was closed", message.id);
                    return None;
                };
                (open, RequestKind::Read(offset..offset + len))
            }
            _ => {
                // Requests in service keep the descriptor open until they are answered.
                self.objects.remove(message.object);
                return None;
            }
        };
        Some(Request {
            id: message.id,
            open,
            kind,
            actions,
            received: Instant::now(),
            retry: Retry::default(),
        })
    }
}
