// SPDX-License-Identifier: GPL-2.0

//! What the daemon says: replies to OPEN and to READ.

use super::{Kind, Object, Outcome, Request, Store, Table};
use crate::Errno;

/// An OPEN that the daemon answers.
#[derive(Clone, Debug)]
pub struct Opened<P> {
    /// The OPEN's sequence number.
    pub sequence: u64,
    /// What the caller keeps of the object.
    pub payload: P,
}

/// What a reply comes to.
#[derive(Debug)]
pub struct Answer<T> {
    /// The ticket of the request that has ended, if someone holds one.
    pub ticket: Option<T>,
    /// How it ended.
    pub outcome: Outcome,
}

impl<T, P, R, O> Table<T, P, R, O>
where
    T: Clone,
    P: Clone,
    R: Store<Request<T>>,
    O: Store<Object<P>>,
{
    /// The OPEN with this id, which the daemon has read and is answering.
    ///
    /// # Errors
    ///
    /// EINVAL if there is none.
    pub fn opened(&self, id: u32) -> Result<Opened<P>, Errno> {
        let request = self.index_of_id(id);
        let request = request.and_then(|index| self.requests.as_slice().get(index));
        request
            .filter(|request| request.kind == Kind::Open && request.known)
            .and_then(|request| {
                Some(Opened {
                    sequence: request.sequence,
                    payload: self.object(request.object)?.payload.clone(),
                })
            })
            .ok_or(Errno::EINVAL)
    }

    /// An OPEN is answered: with success, or with the errno of a refusal.
    ///
    /// `end` gets the tickets of READs that have no chance any more. Returns the
    /// answer, if the OPEN is still there, and whether there is something to
    /// read now.
    pub fn answer_open(
        &mut self,
        sequence: u64,
        answer: Result<(), Errno>,
        end: impl FnMut(T, Outcome),
    ) -> (Option<Answer<T>>, bool) {
        let Some(request) = self.index(sequence).and_then(|at| self.requests.remove(at)) else {
            return (None, false);
        };
        let key = request.object;
        let ticket = request.ticket;
        let alive = self.object(key).is_some_and(|object| object.handle != 0);
        let (outcome, readable) = match answer {
            Ok(()) if alive => {
                if let Some(object) = self.object_mut(key) {
                    object.open = true;
                }
                (Outcome::Answered, true)
            }
            // The descriptor went before the answer came: READs need another.
            Ok(()) => (Outcome::Failed(Errno::EBADFD), self.open_again(key)),
            Err(errno) => {
                self.cancel_reads(key, Outcome::Failed(Errno::EIO), end);
                (Outcome::Failed(errno), false)
            }
        };
        (Some(Answer { ticket, outcome }), readable)
    }

    /// A READ of the object `key` is answered. Its ticket, if someone holds one.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such request, if it is no READ, was never
    /// delivered, or is of another object.
    pub fn answer_read(&mut self, id: u32, key: u64) -> Result<Option<T>, Errno> {
        let index = self.index_of_id(id).ok_or(Errno::EINVAL)?;
        let request = self.requests.as_slice().get(index);
        request
            .filter(|one| matches!(one.kind, Kind::Read(_)) && one.known && one.object == key)
            .ok_or(Errno::EINVAL)?;
        let request = self.requests.remove(index);
        Ok(request.and_then(|request| request.ticket))
    }
}
