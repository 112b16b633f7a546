// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The answers, and their misbehaviour.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;

use super::fill::Filler;
use super::objects::Entry;
use super::statistics::add;
use super::Session;
use crate::backend::Backend;
use crate::plan::{Action, Behaviour, Step};
use crate::protocol::{Command, MsgId, PAGE};

/// Makes of any id one that the kernel has not given out: it counts up from 0.
const NO_SUCH_ID: u32 = 1 << 30;

/// Of a blob, in bytes, so that its last page is below the largest file offset.
const SIZE_MAX: u64 = i64::MAX as u64 - PAGE;

impl<B: Backend> Session<B> {
    /// Answers an OPEN. Returns the object if it is usable.
    pub(super) fn serve_open(
        &self,
        id: MsgId,
        entry: Arc<Entry>,
        behaviour: &Behaviour,
    ) -> Option<Arc<Entry>> {
        let size = match behaviour.refusal() {
            Some(errno) => Err(errno),
            None => self.size(&entry),
        };
        if let Ok(size) = size {
            // An OPEN is received once, so this is the first.
            let _ = entry.size.set(size);
        }
        let object = entry.id;
        let entry = match size {
            Ok(_) if !behaviour.has(Action::CloseEarly) => Some(entry),
            // The kernel wants the descriptor closed, before it hears why (section 5.1).
            _ => {
                self.objects.remove(object);
                drop(entry);
                None
            }
        };
        if size.is_err() {
            add(&self.counters.refused_opens, 1);
        }
        let taken = self.answer(id, behaviour, |id| {
            self.device.command(Command::Copen(id, size).encode())
        });
        if taken.is_err() {
            // The kernel has no use for the descriptor: with the next one it opens the blob again.
            self.objects.remove(object);
            return None;
        }
        entry
    }

    fn size(&self, entry: &Entry) -> Result<u64, Errno> {
        match self.backend.size(&entry.blob) {
            Ok(Some(size)) if size > SIZE_MAX => {
                tracing::error!(
                    "open {}: {size} bytes are more than a file can have",
                    entry.blob
                );
                Err(Errno::FBIG)
            }
            Ok(Some(size)) => {
                tracing::info!("open {}: {size} bytes", entry.blob);
                Ok(size)
            }
            Ok(None) => {
                tracing::warn!("open {}: there is no such blob", entry.blob);
                Err(Errno::NOENT)
            }
            Err(error) => {
                tracing::error!("open {}: {error}", entry.blob);
                Err(Errno::IO)
            }
        }
    }

    /// Answers a READ. What cannot be had or written is left out: its reader gets EIO, or the backend's
    /// errno where the kernel takes it.
    pub(super) fn serve_read(
        &self,
        id: MsgId,
        entry: Arc<Entry>,
        range: Range<u64>,
        behaviour: &Behaviour,
        filler: &mut Filler<'_>,
    ) {
        let limit = range.start.saturating_add(behaviour.limit());
        let allowed = range.start..range.end.min(limit);
        let mut failure = None;
        if let Err(error) = filler.fill(&entry, allowed, behaviour) {
            tracing::error!("read {range:?} of {}: {error}", entry.blob);
            add(&self.counters.failed_reads, 1);
            failure = error.of_backend().filter(|_| self.read_errors);
        } else if entry
            .size
            .get()
            .is_some_and(|size| range.end > size.next_multiple_of(PAGE))
        {
            tracing::error!("read {range:?} of {}: past its end", entry.blob);
            add(&self.counters.failed_reads, 1);
        }
        if behaviour.has(Action::CloseEarly) {
            self.objects.remove(entry.id);
            return;
        }
        if behaviour.has(Action::WrongObject) {
            for other in self.objects.others(entry.id) {
                let taken = other.object.complete(id);
                tracing::info!("READ {id} completed on {}: {}", other.blob, said(taken));
            }
        }
        let send = |id| match failure {
            Some(errno) => entry.object.fail(id, errno),
            None => entry.object.complete(id),
        };
        // Whether the kernel takes it or not, there is nothing more to do.
        let _ = self.answer(id, behaviour, send);
    }

    /// Sends an answer, or what the behaviour makes of it; what the kernel says to it.
    fn answer(
        &self,
        id: MsgId,
        behaviour: &Behaviour,
        send: impl Fn(MsgId) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        thread::sleep(behaviour.late());
        behaviour.reach(Step::BeforeAnswer);
        if behaviour.has(Action::WrongId) {
            let wrong = MsgId(id.0 ^ NO_SUCH_ID);
            tracing::info!("answer to {wrong} in place of {id}: {}", said(send(wrong)));
        }
        let taken = match behaviour.has(Action::Never) {
            true => Ok(()),
            false => send(id),
        };
        if let Err(errno) = taken {
            // The reader was killed, or the mount went away: the request is gone.
            tracing::warn!("the kernel does not take the answer to {id}: {errno}");
            add(&self.counters.failed_answers, 1);
        }
        if behaviour.has(Action::Twice) {
            tracing::info!("second answer to {id}: {}", said(send(id)));
        }
        behaviour.reach(Step::AfterAnswer);
        taken
    }
}

/// What the kernel said to an answer.
fn said(taken: Result<(), Errno>) -> String {
    taken.map_or_else(|errno| errno.to_string(), |()| "taken".to_owned())
}
