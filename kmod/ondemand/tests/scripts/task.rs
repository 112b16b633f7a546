// SPDX-License-Identifier: GPL-2.0

//! Tasks inside mount(2) or a read, and deferred reads.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{Blob, Mount, Options, Pages, Value, Waiter};
use ondine_ondemand::completion::RequestObject;
use ondine_ondemand::deferred::{defer, process, HasDeferred, List};
use ondine_ondemand::deferred_list::WaitFor;
use ondine_ondemand::platform::CacheOps;
use ondine_ondemand::read::{PendingRead, Step};
use ondine_ondemand::submit::prefetch;
use ondine_ondemand::Run;

use super::cache::{Cache, DeferredRead, Folios, MountRef, ObjectRef};
use super::device::{errno, run};
use super::world::{Mounted, World};

/// A task in a wait queue.
pub(crate) struct Sleeper {
    read: RefCell<PendingRead<Cache>>,
    mount: MountRef,
    /// A wake-up found the condition true: the task is about to run.
    woken: Cell<bool>,
}

impl Sleeper {
    /// Looks at the condition.
    pub(crate) fn look(&self) {
        if self.read.borrow().is_woken(&self.mount) {
            self.woken.set(true);
        }
    }
}

/// A task.
pub(crate) struct Task {
    pub(crate) mount: Mount,
    object: ObjectRef,
    is_mount: bool,
    sleeper: Rc<Sleeper>,
    /// True if the present wait has a time limit.
    limited: bool,
    /// A fatal signal came when it was about to run.
    killed: bool,
}

/// Readers from this one on are deferred reads.
pub(crate) const FIRST_DEFERRED: Waiter = Waiter(2);

impl Task {
    /// Returns whether a wait is over, and the task about to run.
    pub(crate) fn is_woken(&self) -> bool {
        self.sleeper.woken.get()
    }
}

/// A deferred read in the list of its object.
struct Listed {
    waiter: Waiter,
    wait_for: WaitFor,
    mount: MountRef,
}

fn reads(object: &ObjectRef) -> Vec<Listed> {
    let mut reads = Vec::new();
    object.deferred.borrow().for_each(|wait_for, number, read| {
        let waiter = read.folios().expect("it is not over").waiter;
        let mount = read.mount().clone();
        reads.push((
            number,
            Listed {
                waiter,
                wait_for,
                mount,
            },
        ));
    });
    reads.sort_by_key(|(number, _)| *number);
    reads.into_iter().map(|(_, read)| read).collect()
}

impl World {
    fn over(&mut self, waiter: Waiter, result: Result<(), Errno>) {
        if let Some(task) = self.tasks.remove(&waiter) {
            self.leave_queues(&task);
            task.sleeper.read.borrow_mut().leave(&self.cache);
            if task.is_mount && result.is_err() {
                self.cache.release(&task.object);
            }
        }
        self.over.insert(waiter, result);
    }

    fn leave_queues(&self, task: &Task) {
        for queue in [&self.cache.sessions, &task.object.sleepers] {
            let other = |one: &Rc<Sleeper>| !Rc::ptr_eq(one, &task.sleeper);
            queue.borrow_mut().retain(other);
        }
    }

    /// Returns whether a waiter of that number is inside.
    pub(crate) fn is_inside(&self, waiter: Waiter) -> bool {
        self.tasks.contains_key(&waiter) || self.deferred(waiter).is_some()
    }

    /// The object that has the deferred read of a waiter.
    pub(crate) fn deferred(&self, waiter: Waiter) -> Option<ObjectRef> {
        let has = |object: &ObjectRef| self.deferred_of(object).contains(&waiter);
        self.cache.objects().into_iter().find(has)
    }

    /// The deferred reads of an object, in the order in which the worker takes them.
    pub(crate) fn deferred_of(&self, object: &ObjectRef) -> Vec<Waiter> {
        reads(object).into_iter().map(|read| read.waiter).collect()
    }

    /// The deferred reads of an object that are runnable, or all of them.
    pub(crate) fn runnable_of(&self, object: &ObjectRef, all: bool) -> Vec<Waiter> {
        let mut reads = reads(object);
        reads.retain(|read| all || read.wait_for == WaitFor::Worker);
        reads.into_iter().map(|read| read.waiter).collect()
    }

    fn task(
        &mut self,
        waiter: Waiter,
        mount: Mount,
        object: ObjectRef,
        run: Option<Run>,
        of: MountRef,
    ) {
        let read = PendingRead::new(run.unwrap_or(Run::EMPTY), Some(waiter));
        let sleeper = Sleeper {
            read: RefCell::new(read),
            mount: of,
            woken: Cell::new(true),
        };
        let task = Task {
            mount,
            object,
            is_mount: run.is_none(),
            sleeper: Rc::new(sleeper),
            limited: false,
            killed: false,
        };
        self.cache.expired.borrow_mut().remove(&waiter);
        self.tasks.insert(waiter, task);
    }

    /// Has a task that is about to run take the next step, and go to sleep if it has to.
    fn step(&mut self, waiter: Waiter) {
        let task = self.tasks.get_mut(&waiter).expect("callers looked");
        let sleeper = task.sleeper.clone();
        let step = sleeper.read.borrow_mut().step(&sleeper.mount, &task.object);
        let (queue, limit) = match step {
            Ok(Step::Ready) if task.is_mount => return self.mounted(waiter),
            Ok(Step::Ready) => return self.over(waiter, Ok(())),
            Err(error) => return self.over(waiter, Err(errno(error))),
            Ok(_) if task.killed => return self.over(waiter, Err(Errno::EINTR)),
            Ok(Step::WaitForSession(limit)) => (&self.cache.sessions, limit),
            Ok(Step::WaitForRequest(limit)) => (&task.object.sleepers, limit),
        };
        task.limited = limit.is_some();
        sleeper.woken.set(false);
        if !queue.borrow().iter().any(|one| Rc::ptr_eq(one, &sleeper)) {
            queue.borrow_mut().push(sleeper.clone());
        }
        // As in wait_event(): once more, before sleeping.
        sleeper.look();
    }

    pub(crate) fn mount(
        &mut self,
        waiter: Waiter,
        mount: Mount,
        blob: Blob,
        options: Options,
    ) -> bool {
        let mounted = self.mounts.get(&mount);
        let held = mounted.is_some_and(|mounted| mounted.blobs.contains_key(&blob));
        let asked = |task: &Task| task.is_mount && task.mount == mount && task.object.blob == blob;
        if held || self.is_inside(waiter) || self.tasks.values().any(asked) {
            return false;
        }
        let of = match mounted {
            Some(mounted) => mounted.mount.clone(),
            None => MountRef::new(&self.cache, mount.0.into(), options),
        };
        match self.cache.object(blob) {
            Ok(object) => {
                self.task(waiter, mount, object, None, of);
                self.step(waiter);
            }
            Err(error) => {
                self.over.insert(waiter, Err(errno(error)));
            }
        }
        true
    }

    fn mounted(&mut self, waiter: Waiter) {
        let task = &self.tasks[&waiter];
        let mounted = self.mounts.entry(task.mount).or_insert(Mounted {
            mount: task.sleeper.mount.clone(),
            blobs: BTreeMap::new(),
        });
        mounted.blobs.insert(task.object.blob, task.object.clone());
        self.over(waiter, Ok(()));
    }

    /// mount(2) goes on as soon as it can.
    pub(crate) fn run_mounts(&mut self) {
        let ready = |(_, task): &(&Waiter, &Task)| task.is_mount && task.is_woken();
        while let Some((waiter, _)) = self.tasks.iter().find(ready) {
            let waiter = *waiter;
            self.step(waiter);
        }
    }

    pub(crate) fn read(&mut self, waiter: Waiter, mount: Mount, blob: Blob, pages: Pages) -> bool {
        let mounted = self.mounts.get(&mount);
        let found = mounted.and_then(|mounted| Some((mounted.blobs.get(&blob)?, &mounted.mount)));
        let Some((object, of)) = found.filter(|_| !self.is_inside(waiter)) else {
            return false;
        };
        let (object, of) = (object.clone(), of.clone());
        if waiter < FIRST_DEFERRED {
            self.task(waiter, mount, object, Some(run(pages)), of);
            self.step(waiter);
            return true;
        }
        let folios = Folios {
            waiter,
            run: run(pages),
            results: self.deferred_over.clone(),
        };
        self.cache.expired.borrow_mut().remove(&waiter);
        self.cache.current.set(Some(waiter));
        let read = DeferredRead::new(of, object.clone(), folios);
        defer(&*object, read.ok().expect("there are few"));
        self.work(&object);
        true
    }

    /// The worker of an object runs, if it is queued.
    pub(crate) fn work(&mut self, object: &ObjectRef) {
        object.woken.borrow_mut().clear();
        if object.queued.replace(false) {
            process(&**object);
        }
        let over = self.deferred_over.take().into_iter();
        self.over
            .extend(over.map(|(waiter, result)| (waiter, result.map_err(errno))));
    }

    /// Requests pages for a mount, or one that is about to be; for no reader yet.
    pub(crate) fn prefetch(&mut self, mount: Mount, blob: Blob, pages: Pages) -> bool {
        let mounted = self.mounts.get(&mount);
        let mounted = mounted.and_then(|mounted| Some((&mounted.mount, mounted.blobs.get(&blob)?)));
        let mounts = || {
            let of =
                |task: &&Task| task.is_mount && task.mount == mount && task.object.blob == blob;
            let task = self.tasks.values().find(of)?;
            Some((&task.sleeper.mount, &task.object))
        };
        let Some((of, object)) = mounted.or_else(mounts) else {
            return false;
        };
        prefetch::<Cache>(of, object, run(pages));
        true
    }

    /// A woken task goes on until it waits again or is over; for a deferred read, the worker runs.
    pub(crate) fn resume(&mut self, waiter: Waiter) -> bool {
        if let Some(object) = self.deferred(waiter) {
            let woken = self.is_deferred_woken(&object, waiter);
            if woken {
                self.work(&object);
            }
            return woken;
        }
        let tasks = self.tasks.get(&waiter);
        if tasks.is_none_or(|task| task.is_mount || !task.is_woken()) {
            return false;
        }
        self.step(waiter);
        true
    }

    /// Returns whether the worker was queued when the read had a reason to go on.
    pub(crate) fn is_deferred_woken(&self, object: &ObjectRef, waiter: Waiter) -> bool {
        object.woken.borrow().contains(&waiter)
    }

    pub(crate) fn kill(&mut self, waiter: Waiter) -> bool {
        match self.tasks.get_mut(&waiter) {
            None => return false,
            Some(task) if task.is_woken() => task.killed = true,
            Some(_) => self.over(waiter, Err(Errno::EINTR)),
        }
        true
    }

    pub(crate) fn expire(&mut self, waiter: Waiter) -> bool {
        if let Some(object) = self.deferred(waiter) {
            let mut reads = reads(&object).into_iter();
            let limited = reads.any(|read| read.waiter == waiter && read.mount.options.time_limit);
            if !limited || self.is_deferred_woken(&object, waiter) {
                return false;
            }
            self.cache.expired.borrow_mut().insert(waiter);
            // The timer.
            object.deferred.borrow_mut().release_all();
            object.queue_worker();
            self.work(&object);
            return true;
        }
        let task = self.tasks.get(&waiter).filter(|task| !task.is_woken());
        let limited = task.is_some_and(|task| task.limited);
        if limited {
            self.cache.expired.borrow_mut().insert(waiter);
            self.step(waiter);
            assert!(!self.is_inside(waiter), "no time is left to wait");
        }
        limited
    }

    pub(crate) fn unmount(&mut self, mount: Mount, force: bool) -> Option<Result<Value, Errno>> {
        let mounted = self.mounts.get(&mount)?;
        let (of, objects) = (mounted.mount.clone(), mounted.blobs.clone());
        let busy = self.tasks.iter().filter(|(_, task)| task.mount == mount);
        let busy: Vec<Waiter> = busy.map(|(waiter, _)| *waiter).collect();
        let has_deferred = |object: &ObjectRef| reads(object).iter().any(|read| read.mount.is(&of));
        let deferred = objects.values().any(has_deferred);
        if (!busy.is_empty() || deferred) && !force {
            return Some(Err(Errno::EBUSY));
        }
        if force {
            of.aborted.set(true);
            for waiter in &busy {
                self.tasks[waiter].sleeper.mount.aborted.set(true);
            }
            self.cache.wake_all_waiters();
        }
        for waiter in busy {
            assert!(self.tasks[&waiter].is_woken(), "nothing waits any more");
            self.step(waiter);
        }
        for object in objects.values().filter(|_| force) {
            end_deferred(object, &of);
            assert!(!has_deferred(object), "nothing waits any more");
        }
        let mounted = self.mounts.remove(&mount)?;
        for object in mounted.blobs.values() {
            self.cache.release(object);
        }
        if force {
            for object in self.cache.objects().iter().chain(objects.values()) {
                self.work(object);
            }
        }
        Some(Ok(Value::Done))
    }
}

/// The worker of an object takes up the deferred reads of an aborted mount, which end. The order of runnable reads
/// does not matter to anybody; the model ends those of the mount first.
fn end_deferred(object: &ObjectRef, mount: &MountRef) {
    let mut others = Vec::new();
    while let Some((memory, mut read)) = object.with_deferred(List::take) {
        if read.mount().is(mount) {
            assert_eq!(read.step(), None, "an aborted read does not wait");
        } else {
            others.push((memory, read));
        }
    }
    for (memory, read) in others {
        object.with_deferred(|list| list.push(memory, WaitFor::Worker, read));
    }
}
