// SPDX-License-Identifier: GPL-2.0

//! The kernel's side: mounts, tasks and a daemon around one [`Cache`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{Blob, Event, Mount, ObjectId, Value, Waiter};

use super::cache::{Cache, MountRef, ObjectRef};
use super::device::{Device, Handle};
use super::task::Task;

/// A mount.
pub(crate) struct Mounted {
    pub(crate) mount: MountRef,
    pub(crate) blobs: BTreeMap<Blob, ObjectRef>,
}

/// Everything between two events.
pub(crate) struct World {
    pub(crate) cache: Rc<Cache>,
    pub(crate) device: Option<Device>,
    pub(crate) handles: BTreeMap<ObjectId, Handle>,
    pub(crate) mounts: BTreeMap<Mount, Mounted>,
    pub(crate) tasks: BTreeMap<Waiter, Task>,
    /// Deferred reads that are over, until the worker returns.
    pub(crate) deferred_over: Rc<RefCell<BTreeMap<Waiter, Result<(), ondine_ondemand::Errno>>>>,
    /// Tasks and deferred reads that are over, since the last look.
    pub(crate) over: BTreeMap<Waiter, Result<(), Errno>>,
}

/// The immediate result of an event.
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
            deferred_over: Rc::default(),
            over: BTreeMap::new(),
        }
    }

    /// Forgets what was seen so far.
    pub(crate) fn begin(&mut self) {
        self.over.clear();
        self.cache.ended.borrow_mut().clear();
        for (.., is_new) in self.cache.pending.borrow_mut().iter_mut() {
            *is_new = false;
        }
        self.cache.notified.set(false);
    }

    /// Does one thing that happens.
    pub(crate) fn apply(&mut self, event: Event) -> Happened {
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
