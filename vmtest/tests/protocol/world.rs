// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The kernel's side with the crate in the middle: mounts, tasks and a daemon around one [`Cache`].

use std::collections::BTreeMap;
use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{Blob, Event, Mount, ObjectId, Options, Value, Waiter};

use super::cache::{Cache, Object};
use super::device::{Device, Handle};
use super::task::Task;

/// A mount.
pub(crate) struct Mounted {
    pub(crate) options: Options,
    pub(crate) blobs: BTreeMap<Blob, Rc<Object>>,
}

/// Everything between two events.
pub(crate) struct World {
    pub(crate) cache: Cache,
    pub(crate) device: Option<Device>,
    pub(crate) handles: BTreeMap<ObjectId, Handle>,
    pub(crate) mounts: BTreeMap<Mount, Mounted>,
    pub(crate) tasks: BTreeMap<Waiter, Task>,
    /// Tasks that are over, since the last look.
    pub(crate) over: BTreeMap<Waiter, Result<(), Errno>>,
}

/// What an event came to, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Nobody could do it.
    Ignored,
    /// It was a call, which returned this.
    Returned(Result<Value, Errno>),
    /// It was something else.
    Done,
}

impl From<bool> for Happened {
    fn from(done: bool) -> Self {
        if done {
            Happened::Done
        } else {
            Happened::Ignored
        }
    }
}

impl From<Option<Result<Value, Errno>>> for Happened {
    fn from(call: Option<Result<Value, Errno>>) -> Self {
        call.map_or(Happened::Ignored, Happened::Returned)
    }
}

impl World {
    /// Nothing is open, mounted or cached.
    pub(crate) fn new() -> Self {
        Self {
            cache: Cache::new(),
            device: None,
            handles: BTreeMap::new(),
            mounts: BTreeMap::new(),
            tasks: BTreeMap::new(),
            over: BTreeMap::new(),
        }
    }

    /// Does one thing that happens.
    pub(crate) fn apply(&mut self, event: Event) -> Happened {
        self.over.clear();
        self.cache.ended.clear();
        self.cache.notified = false;
        let happened = match event {
            Event::OpenDevice => self.open_device().into(),
            Event::Bind => self.bind().into(),
            Event::EnableExtensions => self.enable_extensions().into(),
            Event::Receive(trouble) => self.receive(trouble).into(),
            Event::Poll => self.poll().into(),
            Event::Copen(message, reply) => self.copen(message, reply).into(),
            Event::Restore => self.restore().into(),
            Event::CloseDevice => self.close_device().into(),
            Event::Write(object, pages) => self.write(object, pages).into(),
            Event::Complete(object, message) => self.complete(object, message, None).into(),
            Event::CompleteWithError(object, message, errno) => {
                self.complete(object, message, Some(errno)).into()
            }
            Event::CloseDescriptor(object) => self.close_descriptor(object).into(),
            Event::Mount(waiter, mount, blob, options) => {
                self.mount(waiter, mount, blob, options).into()
            }
            Event::Read(waiter, mount, blob, pages) => self.read(waiter, mount, blob, pages).into(),
            Event::Resume(waiter) => self.resume(waiter).into(),
            Event::Kill(waiter) => self.kill(waiter).into(),
            Event::Expire(waiter) => self.expire(waiter).into(),
            Event::Unmount(mount) => self.unmount(mount, false).into(),
            Event::ForceUnmount(mount) => self.unmount(mount, true).into(),
            Event::CacheFails => panic!("no failure of a file system ends a session of ondine"),
        };
        self.run_mounts();
        happened
    }
}
