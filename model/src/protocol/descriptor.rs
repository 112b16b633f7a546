// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Operations on the descriptor of an object (docs/spec/cachefiles-ondemand.md sections 4 and 5.2).

use super::kernel::{Call, DONE};
use super::{
    Blob, Body, Departure, End, EventOutcome, Kernel, MessageId, ObjectId, ObjectState, Pages,
};
use crate::observation::Errno;

impl Kernel {
    /// Object behind an open descriptor. The inner option is `None` once the object is gone.
    fn behind(&self, object: ObjectId) -> Option<Option<Blob>> {
        let session = self.state.session.as_ref()?;
        session.descriptors.get(&object).copied()
    }

    pub(super) fn write(&mut self, object: ObjectId, pages: Pages) -> Call {
        let blob = self.behind(object)?;
        let opening = |blob: &Blob| self.state.objects[blob].state == ObjectState::Opening;
        let file = blob.filter(|blob| !opening(blob));
        let Some(file) = file.and_then(|blob| self.state.files.get_mut(&blob)) else {
            return Some(Err(Errno::ENOBUFS));
        };
        file.present.extend(pages.iter());
        DONE
    }

    /// Handles READ_COMPLETE, with an errno if the daemon used the extension.
    pub(super) fn complete(
        &mut self,
        object: ObjectId,
        message: MessageId,
        errno: Option<Errno>,
        out: &mut Vec<EventOutcome>,
    ) -> Call {
        let blob = self.behind(object)?;
        let refused = Some(Err(Errno::EINVAL));
        let end = match errno {
            None => End::Done,
            Some(errno) if self.takes_error_replies() && (1..=4095).contains(&errno.0) => {
                End::Answered(errno)
            }
            Some(_) => return refused,
        };
        let request = self.request(message);
        let its_read = request.is_some_and(|request| {
            Some(request.blob) == blob
                && matches!(request.body, Body::Read(_))
                && !self.is_unread_for_good(request)
        });
        if !its_read {
            return refused;
        }
        self.finish(message, end, out);
        DONE
    }

    fn takes_error_replies(&self) -> bool {
        let session = self.state.session.as_ref();
        let asked_for = session.is_some_and(|session| session.extensions);
        asked_for && self.dialect.departs(Departure::ErrorReply)
    }

    pub(super) fn close_descriptor(
        &mut self,
        object: ObjectId,
        out: &mut Vec<EventOutcome>,
    ) -> Call {
        let behind = self.behind(object)?;
        let session = self.state.session.as_mut().expect("it has the descriptor");
        session.descriptors.remove(&object);
        if let Some(blob) = behind {
            self.closed(blob, out);
        }
        for id in self.ids(|request| request.body == Body::Close(object) && request.new) {
            self.finish(id, End::Done, out);
        }
        self.release(out);
        DONE
    }
}
