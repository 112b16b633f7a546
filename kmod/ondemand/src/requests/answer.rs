// SPDX-License-Identifier: GPL-2.0

//! The daemon's replies to OPEN and READ.

use super::{Config, Kind, Map, Outcome, Table};
use crate::Errno;

/// An OPEN that the daemon is answering.
#[derive(Clone, Debug)]
pub struct Opened<P> {
    /// The OPEN's sequence number.
    pub sequence: u64,
    /// The caller's reference to the object.
    pub payload: P,
}

/// The request that a reply has ended.
#[derive(Debug)]
pub struct Answer<T> {
    /// Its completion; an OPEN that the table queued by itself has none.
    pub completion: Option<T>,
    /// The end of the request.
    pub outcome: Outcome,
}

impl<C: Config> Table<C> {
    /// The OPEN with this id, if the daemon has read it.
    ///
    /// # Errors
    ///
    /// EINVAL if there is none.
    pub fn opened(&self, id: u32) -> Result<Opened<C::Object>, Errno> {
        let sequence = self.sequence_of_id(id).ok_or(Errno::EINVAL)?;
        let request = self.requests.get(sequence);
        request
            .filter(|request| request.kind == Kind::Open && request.known)
            .and_then(|request| {
                Some(Opened {
                    sequence,
                    payload: self.objects.get(request.object)?.payload.clone(),
                })
            })
            .ok_or(Errno::EINVAL)
    }

    /// Answers an OPEN: with success, or with the errno of a refusal.
    ///
    /// A refusal also ends the object's READs, whose completions go to `end`.
    /// Returns the ended OPEN, if it was still pending, and whether the device has
    /// become readable.
    pub fn answer_open(
        &mut self,
        sequence: u64,
        answer: Result<(), Errno>,
        end: impl FnMut(C::Completion, Outcome),
    ) -> (Option<Answer<C::Completion>>, bool) {
        let Some(taken) = self.take(sequence) else {
            return (None, false);
        };
        let (key, completion) = (taken.key, taken.completion);
        let alive = self.objects.get_mut(key).filter(|one| one.handle != 0);
        let (outcome, readable) = match (answer, alive) {
            (Ok(()), Some(object)) => {
                object.open = true;
                let mut from = 0;
                while let Some(read) = self.next_read(key, from) {
                    self.renew(read.sequence);
                    from = read.run.end();
                }
                (Outcome::Answered, true)
            }
            // The descriptor was closed before the answer came: READs need another.
            (Ok(()), None) => (Outcome::Failed(Errno::EBADFD), self.open_again(key)),
            (Err(errno), _) => {
                self.cancel_reads(key, Outcome::Failed(Errno::EIO), end);
                (Outcome::Failed(errno), false)
            }
        };
        (
            Some(Answer {
                completion,
                outcome,
            }),
            readable,
        )
    }

    /// Answers a READ of the object `key`, and returns its completion.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such request, if it is no READ, was never
    /// delivered, or is of another object.
    pub fn answer_read(&mut self, id: u32, key: u64) -> Result<Option<C::Completion>, Errno> {
        let sequence = self.sequence_of_id(id).ok_or(Errno::EINVAL)?;
        let request = self.requests.get(sequence);
        request
            .filter(|one| matches!(one.kind, Kind::Read(_)) && one.known && one.object == key)
            .ok_or(Errno::EINVAL)?;
        Ok(self.take(sequence).and_then(|taken| taken.completion))
    }
}
