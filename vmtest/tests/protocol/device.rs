// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device and the descriptors of objects, as `kmod/src/device` serves them.

use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Message, MessageId, ObjectId, Pages, Readiness, Reply, Trouble, Value,
};
use ondine_ondemand::message::{self, SIZE_MAX};
use ondine_ondemand::presence::PAGE_SHIFT;
use ondine_ondemand::requests::{Outcome, What};
use ondine_ondemand::{Answer, Command, Run};
use ondined::protocol::{decode, Operation};

use super::cache::Object;
use super::world::World;

/// The volume of all blobs.
const VOLUME: &[u8] = b"erofs,domain";

/// One opening of the device.
#[derive(Default)]
pub(crate) struct Device {
    bound: bool,
    /// The daemon asked for the extensions.
    extensions: bool,
}

/// A descriptor that is open.
pub(crate) struct Handle {
    object: Rc<Object>,
    id: u32,
}

/// What a call returns; none if nobody can make it now.
type Call = Option<Result<Value, Errno>>;

const DONE: Call = Some(Ok(Value::Done));

/// The model's errno for one of the crate.
pub(crate) fn errno(errno: ondine_ondemand::Errno) -> Errno {
    Errno(errno.number())
}

fn crates_errno(errno: Errno) -> Option<ondine_ondemand::Errno> {
    ondine_ondemand::Errno::from_number(errno.0)
}

pub(crate) fn run(pages: Pages) -> Run {
    Run {
        first: pages.first,
        count: pages.end - pages.first,
    }
}

pub(crate) fn pages(run: Run) -> Pages {
    Pages::new(run.first, run.count)
}

fn text_of_copen(message: Option<MessageId>, reply: Reply) -> String {
    let answer = match reply {
        Reply::Size(size) => size.to_string(),
        Reply::Error(errno) => format!("-{}", errno.0),
        Reply::BelowErrnos => "-4096".into(),
        Reply::NotANumber => "size".into(),
        Reply::OutOfRange => "9223372036854775808".into(),
    };
    match message {
        Some(MessageId(id)) => format!("copen {id},{answer}"),
        None => format!("copen {answer}"),
    }
}

impl World {
    pub(crate) fn open_device(&mut self) -> Call {
        if self.cache.pins != 0 {
            return Some(Err(Errno::EBUSY));
        }
        self.cache.pins = 1;
        self.device = Some(Device::default());
        DONE
    }

    pub(crate) fn close_device(&mut self) -> Call {
        self.device.take()?;
        self.cache.detach();
        DONE
    }

    pub(crate) fn bind(&mut self) -> Call {
        let device = self.device.as_mut()?;
        if device.bound {
            return Some(Err(Errno::EBUSY));
        }
        device.bound = true;
        self.cache.bind();
        self.look_for_session();
        DONE
    }

    pub(crate) fn enable_extensions(&mut self) -> Call {
        self.device.as_mut()?.extensions = true;
        DONE
    }

    pub(crate) fn poll(&mut self) -> Call {
        self.device.as_ref()?;
        let readable = self.cache.table.is_readable();
        let hung_up = false;
        Some(Ok(Value::Poll(Readiness { readable, hung_up })))
    }

    pub(crate) fn copen(&mut self, message: Option<MessageId>, reply: Reply) -> Call {
        let text = text_of_copen(message, reply);
        self.device.as_ref()?;
        Some(self.command(text.as_bytes()))
    }

    pub(crate) fn restore(&mut self) -> Call {
        self.device.as_ref()?;
        Some(self.command(b"restore"))
    }

    fn command(&mut self, text: &[u8]) -> Result<Value, Errno> {
        let on_demand = self.device.as_ref().is_some_and(|device| device.bound);
        let command = Command::parse(text);
        if !on_demand {
            return Err(Errno::EOPNOTSUPP);
        }
        match command.map_err(errno)? {
            Command::Copen { msg_id, answer } => self.answer_open(msg_id, answer),
            Command::Restore => {
                self.cache.table.restore();
                self.cache.notified = true;
                Ok(Value::Done)
            }
            other => panic!("{other:?} is not what was written"),
        }
    }

    fn answer_open(&mut self, id: u32, answer: Answer) -> Result<Value, Errno> {
        let cache = &mut self.cache;
        let opened = cache.table.opened(id).map_err(errno)?;
        let result = match answer {
            Answer::Size(size) => cache.set_size(&opened.payload, size),
            Answer::Refused(errno) | Answer::Bad(errno) => Err(errno),
        };
        let (answered, readable) =
            cache.ending(|table, end| table.answer_open(opened.sequence, result, end));
        if let Some(answered) = answered {
            if let Some(ticket) = answered.ticket {
                cache.end(ticket, answered.outcome);
            }
        }
        cache.notify_if(readable);
        match (answer, result) {
            (Answer::Refused(_), _) => Ok(Value::Done),
            (_, result) => result.map(|()| Value::Done).map_err(errno),
        }
    }

    /// read(2).
    pub(crate) fn receive(&mut self, trouble: Option<Trouble>) -> Call {
        self.device.as_ref()?;
        let Some(pending) = self.cache.table.peek() else {
            return Some(Ok(Value::Nothing));
        };
        if trouble == Some(Trouble::SmallBuffer) {
            return Some(Err(Errno::EMSGSIZE));
        }
        let bad_buffer = trouble == Some(Trouble::BadBuffer);
        let table = &mut self.cache.table;
        let (message, object_id) = match pending.what {
            What::Open => {
                table.begin_open(pending.sequence);
                return Some(self.deliver_open(pending.sequence, &pending.payload, trouble));
            }
            What::Close(id) => (message::Message::Close, id),
            What::Read(id, run) => {
                let (offset, len) = (run.first << PAGE_SHIFT, run.count << PAGE_SHIFT);
                (message::Message::Read { offset, len }, id)
            }
        };
        table.deliver(pending.sequence);
        if bad_buffer {
            self.undeliverable(pending.sequence, Errno::EIO);
            return Some(Err(Errno::EFAULT));
        }
        let message = sent(&message, pending.id(), object_id);
        Some(Ok(Value::Message(message)))
    }

    fn deliver_open(
        &mut self,
        sequence: u64,
        object: &Rc<Object>,
        trouble: Option<Trouble>,
    ) -> Result<Value, Errno> {
        if let Some(Trouble::NoDescriptor(errno)) = trouble {
            self.undeliverable(sequence, errno);
            return Err(errno);
        }
        self.cache.pins += 1;
        let id = self.cache.table.finish_open(sequence);
        let id = id.expect("nothing happens between begin and finish");
        let object = object.clone();
        let handle = Handle { object, id };
        if trouble == Some(Trouble::BadBuffer) {
            self.undeliverable(sequence, Errno::EFAULT);
            self.release_handle(handle);
            return Err(Errno::EFAULT);
        }
        let open = message::Message::Open {
            volume_key: VOLUME,
            cookie_key: &[b'a' + handle.object.blob.0],
            fd: id,
        };
        let message = sent(&open, sequence as u32, id);
        let before = self.handles.insert(ObjectId(id), handle);
        assert!(before.is_none(), "descriptor {id} is open already");
        Ok(Value::Message(message))
    }

    fn undeliverable(&mut self, sequence: u64, errno: Errno) {
        let errno = crates_errno(errno).expect("it is a positive number");
        self.cache
            .ending(|table, end| table.undeliverable(sequence, errno, end));
    }

    fn release_handle(&mut self, handle: Handle) {
        let readable = self.cache.table.handle_closed(handle.object.key, handle.id);
        self.cache.notify_if(readable);
        self.cache.unpin();
    }

    pub(crate) fn close_descriptor(&mut self, object: ObjectId) -> Call {
        let handle = self.handles.remove(&object)?;
        self.release_handle(handle);
        DONE
    }

    pub(crate) fn write(&mut self, object: ObjectId, pages: Pages) -> Call {
        let handle = self.handles.get(&object)?;
        let written = self.cache.write(&handle.object, run(pages));
        Some(written.map(|()| Value::Done).map_err(errno))
    }

    /// READ_COMPLETE, or the extension's reply with an errno.
    pub(crate) fn complete(
        &mut self,
        object: ObjectId,
        message: MessageId,
        failure: Option<Errno>,
    ) -> Call {
        let key = self.handles.get(&object)?.object.key;
        let extensions = self.device.as_ref().is_some_and(|device| device.extensions);
        let outcome = match failure {
            None => Outcome::Answered,
            Some(errno) => match crates_errno(errno).filter(|_| extensions) {
                Some(errno) => Outcome::Failed(errno),
                None => return Some(Err(Errno::EINVAL)),
            },
        };
        match self.cache.table.answer_read(message.0, key) {
            Err(error) => Some(Err(errno(error))),
            Ok(ticket) => {
                if let Some(ticket) = ticket {
                    self.cache.end(ticket, outcome);
                }
                DONE
            }
        }
    }
}

/// A message, as the daemon decodes the bytes.
fn sent(message: &message::Message<'_>, id: u32, object: u32) -> Message {
    let mut bytes = [0; SIZE_MAX];
    let len = message.encode(id, object, &mut bytes);
    let bytes = &bytes[..len.expect("a message fits")];
    let message = decode(bytes).expect("the daemon understands the kernel");
    let (id, object) = (MessageId(message.id.0), ObjectId(message.object.0));
    match message.operation {
        Operation::Open { volume, cookie, .. } => {
            assert_eq!((volume, cookie.len()), (VOLUME, 1));
            Message::Open(id, object, Blob(cookie[0] - b'a'))
        }
        Operation::Close => Message::Close(id, object),
        Operation::Read { offset, len } => {
            let pages = Pages::new(offset >> PAGE_SHIFT, len >> PAGE_SHIFT);
            Message::Read(id, object, pages)
        }
    }
}
