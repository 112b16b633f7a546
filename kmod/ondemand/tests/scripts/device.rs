// SPDX-License-Identifier: GPL-2.0

//! The device and the descriptors of objects: the calls of a daemon.

use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Message, MessageId, ObjectId, Pages, Readiness, Reply, Trouble, Value,
};
use ondine_ondemand::delivery::{deliver, Receiver};
use ondine_ondemand::message::SIZE_MAX;
use ondine_ondemand::page::PAGE_SHIFT;
use ondine_ondemand::platform::CacheOps;
use ondine_ondemand::requests::Outcome;
use ondine_ondemand::{session, Command, Run};

use super::cache::{Cache, ObjectRef, STOP, VOLUME};
use super::world::World;

/// An opening of the device.
#[derive(Default)]
pub(crate) struct Device {
    bound: bool,
    /// The daemon asked for the extensions.
    extensions: bool,
}

/// A descriptor that is open.
pub(crate) struct Handle {
    pub(crate) object: ObjectRef,
    id: u32,
}

/// A read(2) of the device, and what it brought.
struct DeviceRead<'a> {
    cache: &'a Rc<Cache>,
    trouble: Option<Trouble>,
    message: Option<Message>,
    installed: Option<Handle>,
}

/// The file of a descriptor; dropping it closes it.
struct File {
    cache: Rc<Cache>,
    handle: Option<Handle>,
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            close(&self.cache, &handle);
        }
    }
}

/// The last reference of a descriptor goes.
fn close(cache: &Cache, handle: &Handle) {
    session::close_descriptor(cache, &handle.object, handle.id);
    session::unpin(cache);
}

impl Receiver<Cache> for DeviceRead<'_> {
    type File = File;

    fn buffer_len(&self) -> usize {
        match self.trouble {
            Some(Trouble::SmallBuffer) => 8,
            _ => SIZE_MAX,
        }
    }

    fn new_file(&mut self, object: &ObjectRef) -> Result<(File, u32), ondine_ondemand::Errno> {
        if let Some(Trouble::NoDescriptor(errno)) = self.trouble {
            return Err(crates_errno(errno).expect("it is a positive number"));
        }
        self.cache.lock().pin();
        let object = object.clone();
        let handle = Some(Handle { object, id: 0 });
        let cache = self.cache.clone();
        Ok((File { cache, handle }, 3))
    }

    fn set_id(&mut self, file: &mut File, id: u32) {
        file.handle.as_mut().expect("it is not installed").id = id;
    }

    fn send(&mut self, message: &[u8]) -> Result<(), ondine_ondemand::Errno> {
        if self.trouble == Some(Trouble::BadBuffer) {
            return Err(ondine_ondemand::Errno::EFAULT);
        }
        self.message = Some(decoded(message));
        Ok(())
    }

    fn install(&mut self, mut file: File) {
        self.installed = file.handle.take();
    }
}

/// The result of a call; `None` if no task can make the call now.
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
        let attached = self.cache.lock().attach();
        if attached.is_ok() {
            self.device = Some(Device::default());
        }
        Some(attached.map(|()| Value::Done).map_err(errno))
    }

    pub(crate) fn close_device(&mut self) -> Call {
        self.device.take()?;
        session::detach(&*self.cache);
        DONE
    }

    pub(crate) fn bind(&mut self) -> Call {
        let device = self.device.as_mut()?;
        if device.bound {
            return Some(Err(Errno::EBUSY));
        }
        device.bound = true;
        session::bind(&*self.cache, (), STOP);
        DONE
    }

    pub(crate) fn enable_extensions(&mut self) -> Call {
        self.device.as_mut()?.extensions = true;
        DONE
    }

    pub(crate) fn poll(&mut self) -> Call {
        self.device.as_ref()?;
        let readable = self.cache.lock().table.is_readable();
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
        let cache = &*self.cache;
        match command.map_err(errno)? {
            Command::Copen { msg_id, answer } => {
                let set_size = |object: &ObjectRef, size| cache.set_size(object, size);
                session::answer_open(cache, msg_id, answer, set_size).map_err(errno)?;
            }
            Command::Restore => session::restore(cache),
            other => panic!("{other:?} is not what was written"),
        }
        Ok(Value::Done)
    }

    /// read(2).
    pub(crate) fn receive(&mut self, trouble: Option<Trouble>) -> Call {
        self.device.as_ref()?;
        let mut read = DeviceRead {
            cache: &self.cache,
            trouble,
            message: None,
            installed: None,
        };
        let delivered = deliver(&*self.cache, &mut read);
        let (message, installed) = (read.message, read.installed);
        if let Some(handle) = installed {
            let id = handle.id;
            let before = self.handles.insert(ObjectId(id), handle);
            assert!(before.is_none(), "descriptor {id} is open already");
        }
        Some(match delivered {
            Err(error) => Err(errno(error)),
            Ok(0) => Ok(Value::Nothing),
            Ok(_) => Ok(Value::Message(message.expect("a message was sent"))),
        })
    }

    pub(crate) fn close_descriptor(&mut self, object: ObjectId) -> Call {
        let handle = self.handles.remove(&object)?;
        close(&self.cache, &handle);
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
        let object = &self.handles.get(&object)?.object;
        let extensions = self.device.as_ref().is_some_and(|device| device.extensions);
        let outcome = match failure {
            None => Outcome::Answered,
            Some(errno) => match crates_errno(errno).filter(|_| extensions) {
                Some(errno) => Outcome::Failed(errno),
                None => return Some(Err(Errno::EINVAL)),
            },
        };
        let answered = session::answer_read(&*self.cache, object, message.0, outcome);
        Some(answered.map(|()| Value::Done).map_err(errno))
    }
}

/// A message, as a daemon decodes its bytes: msg_id, opcode, length, object_id, payload.
fn decoded(bytes: &[u8]) -> Message {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(word(8) as usize, bytes.len());
    let (id, object) = (MessageId(word(0)), ObjectId(word(12)));
    match word(4) {
        0 => {
            // The sizes of both keys, a descriptor, flags, the volume with a NUL, the cookie.
            let volume = VOLUME.len() + 1;
            assert_eq!((word(16) as usize, word(20), word(28)), (volume, 1, 0));
            assert_eq!(bytes[32..32 + VOLUME.len()], *VOLUME);
            Message::Open(id, object, Blob(bytes[32 + volume] - b'a'))
        }
        1 => Message::Close(id, object),
        2 => {
            let pages = Pages::new(long(16) >> PAGE_SHIFT, long(24) >> PAGE_SHIFT);
            Message::Read(id, object, pages)
        }
        opcode => panic!("opcode {opcode}"),
    }
}
