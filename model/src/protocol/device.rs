// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device: its life cycle, commands and messages (docs/spec/cachefiles-ondemand.md sections 1,
//! 2, 3, 5.1, 6.4 and 6.5).

use super::kernel::{Call, DONE};
use super::{
    Blob, Body, CacheFile, Departure, End, EventOutcome, Identity, Kernel, Message, MessageId,
    Mount, ObjectId, ObjectState, Phase, Reply, Request, Session, Trouble, Value,
};
use crate::observation::Errno;

const NOTHING: Call = Some(Ok(Value::Nothing));

const fn fails(errno: Errno) -> Call {
    Some(Err(errno))
}

impl Kernel {
    /// The session if its device is open.
    pub(super) fn device(&mut self) -> Option<&mut Session> {
        let session = self.state.session.as_mut();
        session.filter(|session| session.device_open)
    }

    pub(super) fn open_device(&mut self) -> Call {
        if self.state.session.is_some() {
            return fails(Errno::EBUSY);
        }
        self.state.session = Some(Session::new());
        DONE
    }

    pub(super) fn bind(&mut self, out: &mut Vec<EventOutcome>) -> Call {
        let session = self.device()?;
        match session.phase {
            Phase::Unbound => session.phase = Phase::Bound,
            Phase::Bound => return fails(Errno::EBUSY),
            Phase::Dead | Phase::Failed => return fails(Errno::EIO),
        }
        self.wake_parked(out);
        DONE
    }

    pub(super) fn enable_extensions(&mut self) -> Call {
        let refusal = self.dialect.errno(Departure::Extensions);
        let session = self.device()?;
        if matches!(session.phase, Phase::Dead | Phase::Failed) {
            return fails(Errno::EIO);
        }
        if let Some(errno) = refusal {
            return fails(errno);
        }
        session.extensions = true;
        DONE
    }

    /// The session, for a command that needs a bound one in on-demand mode.
    fn bound_device(&mut self) -> Option<Result<&mut Session, Errno>> {
        let session = self.device()?;
        Some(match session.phase {
            Phase::Unbound => Err(Errno::EOPNOTSUPP),
            Phase::Bound => Ok(session),
            Phase::Dead | Phase::Failed => Err(Errno::EIO),
        })
    }

    pub(super) fn receive(
        &mut self,
        trouble: Option<Trouble>,
        out: &mut Vec<EventOutcome>,
    ) -> Call {
        self.device()?;
        let Some((id, request)) = self.select(out) else {
            return NOTHING;
        };
        if trouble == Some(Trouble::SmallBuffer) {
            return fails(Errno::EMSGSIZE);
        }
        let turns = self.dialect.departs(Departure::DeliveryOrder);
        let session = self.device().expect("looked above");
        if turns {
            session.turn = Some(
                request
                    .mount
                    .map_or(Mount(0), |mount| Mount(mount.0.wrapping_add(1))),
            );
        } else {
            session.next_delivery = id.0.wrapping_add(1);
        }
        session
            .requests
            .entry(id)
            .and_modify(|request| (request.new, request.known) = (false, true));

        let delivered = match request.body {
            Body::Open => self.deliver_open(id, request, trouble),
            _ if trouble == Some(Trouble::BadBuffer) => Err(Errno::EFAULT),
            body => Ok(self.message(id, request, body)),
        };
        match delivered {
            Err(errno) => {
                self.finish(id, End::Failed(errno), out);
                if request.body == Body::Open {
                    self.fail_reads(request.blob, out);
                }
            }
            Ok(Message::Close(..)) => self.finish(id, End::Done, out),
            Ok(_) => {}
        }
        Some(delivered.map(Value::Message))
    }

    /// Selects the request that read(2) returns. C starts the OPENs of closed objects whose READs
    /// it passes over.
    fn select(&mut self, out: &mut Vec<EventOutcome>) -> Option<(MessageId, Request)> {
        let mut found = None;
        let mut closed = Vec::new();
        for id in self.new_requests() {
            let request = self.request(id)?;
            if self.is_deliverable(request) {
                found = Some((id, request));
                break;
            }
            let object = self.state.objects.get(&request.blob);
            if object.is_some_and(|object| object.state == ObjectState::Closed) {
                closed.push(request.blob);
            }
        }
        if !self.dialect.departs(Departure::ReopenAtOnce) {
            closed.dedup();
            closed.into_iter().for_each(|blob| self.reopen(blob, out));
        }
        found
    }

    fn message(&self, id: MessageId, request: Request, body: Body) -> Message {
        let object = || match self.state.objects[&request.blob].identity {
            Identity::Live(object) => object,
            _ => unreachable!("OPEN has made a descriptor, and READ needs one"),
        };
        match body {
            Body::Open => Message::Open(id, object(), request.blob),
            Body::Close(object) => Message::Close(id, object),
            Body::Read(pages) => Message::Read(id, object(), pages),
        }
    }

    /// Creates the descriptor of an OPEN. A failure completes the OPEN with an error.
    fn deliver_open(
        &mut self,
        id: MessageId,
        request: Request,
        trouble: Option<Trouble>,
    ) -> Result<Message, Errno> {
        if let Some(Trouble::NoDescriptor(errno)) = trouble {
            return Err(errno);
        }
        if self.is_live(request.blob) {
            return Err(Errno::EEXIST);
        }
        let session = self.device().expect("read(2) has it");
        let taken = |id: &u32| session.descriptors.contains_key(&ObjectId(*id));
        let from = session.last_object + 1;
        let mut ids = (from..=i32::MAX.unsigned_abs()).chain(1..from);
        let object = ids.find(|id| !taken(id)).ok_or(Errno::EBUSY)?;
        session.last_object = object;
        if trouble == Some(Trouble::BadBuffer) {
            // The OPEN ends with the call: nobody is woken for it.
            self.closed(request.blob, &mut Vec::new());
            return Err(Errno::EFAULT);
        }
        session
            .descriptors
            .insert(ObjectId(object), Some(request.blob));
        self.object(request.blob).identity = Identity::Live(ObjectId(object));
        Ok(self.message(id, request, Body::Open))
    }

    pub(super) fn poll(&mut self) -> Call {
        self.device()?;
        Some(Ok(Value::Poll(self.readiness())))
    }

    pub(super) fn copen(
        &mut self,
        message: Option<MessageId>,
        reply: Reply,
        out: &mut Vec<EventOutcome>,
    ) -> Call {
        if let Err(errno) = self.bound_device()? {
            return fails(errno);
        }
        let Some((id, request)) = message.and_then(|id| Some((id, self.request(id)?))) else {
            return fails(Errno::EINVAL);
        };
        if request.body != Body::Open || self.is_unread_for_good(request) {
            return fails(Errno::EINVAL);
        }
        if self.state.objects[&request.blob].identity == Identity::Never {
            return fails(Errno::EINVAL);
        }
        let (returned, end) = match reply {
            Reply::Size(size) if self.is_another_size(request, size) => {
                (fails(Errno::EINVAL), End::Failed(Errno::EINVAL))
            }
            Reply::Size(size) if !self.is_live(request.blob) => {
                if self.dialect.departs(Departure::LateSize) {
                    self.resize(request, size);
                }
                (DONE, End::Failed(Errno::EBADFD))
            }
            Reply::Size(size) => {
                self.resize(request, size);
                (DONE, End::Done)
            }
            Reply::Error(errno) => (DONE, End::Answered(errno)),
            Reply::BelowErrnos | Reply::NotANumber => {
                (fails(Errno::EINVAL), End::Failed(Errno::EINVAL))
            }
            Reply::OutOfRange => (fails(Errno::ERANGE), End::Failed(Errno::ERANGE)),
        };
        self.finish(id, end, out);
        if !matches!(end, End::Done | End::Failed(Errno::EBADFD)) {
            self.fail_reads(request.blob, out);
        }
        returned
    }

    /// Fails the READs of an object that the daemon cannot open, if the dialect does so.
    fn fail_reads(&mut self, blob: Blob, out: &mut Vec<EventOutcome>) {
        if !self.dialect.departs(Departure::RefusedReopen) {
            return;
        }
        let its_read = |one: &Request| one.blob == blob && matches!(one.body, Body::Read(_));
        for id in self.ids(its_read) {
            self.finish(id, End::Failed(Errno::EIO), out);
        }
    }

    /// True if the dialect rejects a further OPEN answered with another size.
    fn is_another_size(&self, request: Request, size: u64) -> bool {
        let first = self.state.objects[&request.blob].state == ObjectState::Opening;
        let file = self.state.files.get(&request.blob);
        let another = file.is_some_and(|file| file.size != size);
        !first && another && self.dialect.departs(Departure::OtherSize)
    }

    /// True if the dialect rejects an answer to this request because the daemon has not read it.
    pub(super) fn is_unread_for_good(&self, request: Request) -> bool {
        let looks = self.dialect.errno(Departure::UnreadAnswer).is_some();
        looks && !request.known
    }

    /// Replaces a cache file of another size, which belongs to another blob, unless its object is
    /// in use.
    fn resize(&mut self, request: Request, size: u64) {
        let first = self.state.objects[&request.blob].state == ObjectState::Opening;
        let file = self.state.files.entry(request.blob).or_default();
        if first && file.size != size {
            *file = CacheFile::default();
        }
        file.size = size;
    }

    pub(super) fn restore(&mut self, out: &mut Vec<EventOutcome>) -> Call {
        let dialect = self.dialect;
        let session = match self.bound_device()? {
            Ok(session) => session,
            Err(errno) => return fails(errno),
        };
        let live: Vec<Blob> = session.descriptors.values().flatten().copied().collect();
        let again = |request: &&mut Request| {
            let opened = request.body == Body::Open && live.contains(&request.blob);
            !(opened && dialect.departs(Departure::RestoredOpen))
        };
        session
            .requests
            .values_mut()
            .filter(again)
            .for_each(|request| request.new = true);
        out.push(EventOutcome::PollersWoken);
        DONE
    }

    pub(super) fn close_device(&mut self, out: &mut Vec<EventOutcome>) -> Call {
        let session = self.device()?;
        session.device_open = false;
        self.die(Phase::Dead, out);
        self.release(out);
        DONE
    }

    pub(super) fn cache_fails(&mut self, out: &mut Vec<EventOutcome>) -> Call {
        if !self.is(Phase::Bound) {
            return None;
        }
        self.die(Phase::Failed, out);
        DONE
    }

    /// Ends the session. The phase changes before the table is flushed, so that no request can be
    /// queued in between.
    fn die(&mut self, phase: Phase, out: &mut Vec<EventOutcome>) {
        let session = self.state.session.as_mut().expect("callers looked");
        if session.phase == Phase::Bound {
            session.phase = phase;
            out.push(EventOutcome::PollersWoken);
            self.flush(None, End::Dead, out);
        }
    }

    /// Drops the session with its last reference, which is the device or a descriptor.
    pub(super) fn release(&mut self, out: &mut Vec<EventOutcome>) {
        let session = self.state.session.as_ref();
        let pinned =
            session.is_some_and(|session| session.device_open || !session.descriptors.is_empty());
        if !pinned {
            self.state.session = None;
            self.detach(out);
        }
    }
}
