// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Tasks inside mount(2) or a read: what `kmod/src/cache/on_demand.rs` has them ask, wait for and conclude.

use std::collections::BTreeMap;
use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{Blob, Mount, Options, Pages, Value, Waiter};
use ondine_ondemand::requests::{Outcome, Refusal};
use ondine_ondemand::Run;

use super::cache::{Object, Ticket};
use super::device::{errno, run};
use super::world::{Mounted, World};

/// A task that waits, or is about to run again.
pub(crate) struct Task {
    pub(crate) mount: Mount,
    object: Rc<Object>,
    want: Want,
    wait: Wait,
    /// A fatal signal came when it was about to run.
    killed: bool,
}

#[derive(Clone, Copy)]
enum Want {
    Blob(Options),
    Pages(Run),
}

#[derive(Clone)]
enum Wait {
    /// For a request; a reader, because of this page.
    Request(Rc<Ticket>, u64),
    /// For a session, which may have come since. A task that has not waited yet looks the same.
    Session { came: bool },
}

/// What asking for pages comes to.
enum Entered {
    Present,
    Waits(Wait),
}

impl Task {
    /// Whether what it waited for is there.
    pub(crate) fn is_woken(&self) -> bool {
        match &self.wait {
            Wait::Request(ticket, _) => ticket.outcome.get().is_some(),
            Wait::Session { came } => *came,
        }
    }

    fn is_mount(&self) -> bool {
        matches!(self.want, Want::Blob(_))
    }

    /// How the request ended, for who waited for it.
    fn judge(&self) -> Result<(), Errno> {
        let Wait::Request(ticket, first) = &self.wait else {
            return Ok(());
        };
        match ticket.outcome.get() {
            None => Ok(()),
            Some(Outcome::Answered) if self.is_mount() => Ok(()),
            Some(Outcome::Answered) => {
                let came = self.object.has(*first) || self.object.has(ticket.run.first);
                came.then_some(()).ok_or(Errno::EIO)
            }
            Some(Outcome::Failed(_)) if self.is_mount() => Err(Errno::ENOBUFS),
            Some(Outcome::Dead) if !self.is_mount() => Ok(()),
            Some(Outcome::Dead | Outcome::Dropped) => Err(Errno::EIO),
            Some(Outcome::Failed(failure)) => Err(errno(failure)),
        }
    }
}

impl World {
    fn over(&mut self, waiter: Waiter, result: Result<(), Errno>) {
        let task = self.tasks.remove(&waiter);
        if let Some(task) = task.filter(|task| task.is_mount() && result.is_err()) {
            self.cache.release(&task.object);
        }
        self.over.insert(waiter, result);
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
        let asked =
            |task: &Task| task.is_mount() && task.mount == mount && task.object.blob == blob;
        if held || self.tasks.contains_key(&waiter) || self.tasks.values().any(asked) {
            return false;
        }
        let options = mounted.map_or(options, |mounted| mounted.options);
        let object = match self.cache.object(blob) {
            Ok(object) => object,
            Err(error) => {
                self.over.insert(waiter, Err(errno(error)));
                return true;
            }
        };
        let opening = self.cache.open(&object);
        let wait = match opening.expect("the OPEN was there a moment ago") {
            None => Wait::Session { came: true },
            Some(ticket) => Wait::Request(ticket, 0),
        };
        let task = Task {
            mount,
            object,
            want: Want::Blob(options),
            wait,
            killed: false,
        };
        self.tasks.insert(waiter, task);
        true
    }

    fn mounted(&mut self, waiter: Waiter) {
        let task = &self.tasks[&waiter];
        if let Want::Blob(options) = task.want {
            let mounted = self.mounts.entry(task.mount).or_insert(Mounted {
                options,
                blobs: BTreeMap::new(),
            });
            mounted.blobs.insert(task.object.blob, task.object.clone());
        }
        self.over(waiter, Ok(()));
    }

    /// mount(2) goes on as soon as it can. All of them are soft here: the module has a hard one wait for the next daemon,
    /// which the model's mounts do not.
    pub(crate) fn run_mounts(&mut self) {
        let ready = |(_, task): &(&Waiter, &Task)| task.is_mount() && task.is_woken();
        while let Some((waiter, task)) = self.tasks.iter().find(ready) {
            let waiter = *waiter;
            match task.judge() {
                Ok(()) => self.mounted(waiter),
                Err(error) => self.over(waiter, Err(error)),
            }
        }
    }

    pub(crate) fn read(&mut self, waiter: Waiter, mount: Mount, blob: Blob, pages: Pages) -> bool {
        let mounted = self.mounts.get(&mount);
        let object = mounted.and_then(|mounted| mounted.blobs.get(&blob));
        let Some(object) = object.filter(|_| !self.tasks.contains_key(&waiter)) else {
            return false;
        };
        let task = Task {
            mount,
            object: object.clone(),
            want: Want::Pages(run(pages)),
            wait: Wait::Session { came: true },
            killed: false,
        };
        self.tasks.insert(waiter, task);
        self.resume(waiter)
    }

    /// A woken reader goes on until it waits again or is over.
    pub(crate) fn resume(&mut self, waiter: Waiter) -> bool {
        let Some(task) = self.tasks.get(&waiter).filter(|task| task.is_woken()) else {
            return false;
        };
        let Want::Pages(wanted) = task.want else {
            return false;
        };
        let hard = self.mounts[&task.mount].options.wait_for_session;
        let (object, killed) = (task.object.clone(), task.killed);
        let entered = match task.judge() {
            Ok(()) => self.enter(&object, wanted, hard),
            Err(error) => Err(error),
        };
        match entered {
            Ok(Entered::Present) => self.over(waiter, Ok(())),
            Ok(Entered::Waits(_)) if killed => self.over(waiter, Err(Errno::EINTR)),
            Ok(Entered::Waits(wait)) => self.task(waiter).wait = wait,
            Err(error) => self.over(waiter, Err(error)),
        }
        true
    }

    fn enter(&mut self, object: &Rc<Object>, wanted: Run, hard: bool) -> Result<Entered, Errno> {
        let contents = object.contents().expect("it is mounted");
        if wanted.end() > contents.pages {
            return Err(Errno::EIO);
        }
        match self.cache.ask(object, wanted) {
            Ok(None) => Ok(Entered::Present),
            Ok(Some(asked)) => {
                let ticket = asked.joined.ok_or(Errno::EIO)?;
                Ok(Entered::Waits(Wait::Request(ticket, asked.first)))
            }
            Err(Refusal::Dead) if hard => Ok(Entered::Waits(Wait::Session { came: false })),
            Err(refusal @ (Refusal::Full | Refusal::Busy)) => panic!("{refusal:?}"),
            Err(Refusal::Dead | Refusal::Dropped) => Err(Errno::EIO),
        }
    }

    fn task(&mut self, waiter: Waiter) -> &mut Task {
        self.tasks.get_mut(&waiter).expect("callers looked")
    }

    /// There is a session: who waits for one is woken.
    pub(crate) fn look_for_session(&mut self) {
        for task in self.tasks.values_mut() {
            if let Wait::Session { came } = &mut task.wait {
                *came = true;
            }
        }
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
        let Some(task) = self.tasks.get(&waiter).filter(|task| !task.is_woken()) else {
            return false;
        };
        let options = match task.want {
            Want::Blob(options) => options,
            Want::Pages(_) => self.mounts[&task.mount].options,
        };
        if options.time_limit {
            self.over(waiter, Err(Errno::ETIMEDOUT));
        }
        options.time_limit
    }

    pub(crate) fn unmount(&mut self, mount: Mount, force: bool) -> Option<Result<Value, Errno>> {
        self.mounts.get(&mount)?;
        let busy = self.tasks.iter().filter(|(_, task)| task.mount == mount);
        let busy: Vec<Waiter> = busy.map(|(waiter, _)| *waiter).collect();
        if !busy.is_empty() && !force {
            return Some(Err(Errno::EBUSY));
        }
        for waiter in busy {
            let given_up = self.tasks[&waiter].judge().and(Err(Errno::EIO));
            self.over(waiter, given_up);
        }
        let mounted = self.mounts.remove(&mount)?;
        for object in mounted.blobs.values() {
            self.cache.release(object);
        }
        Some(Ok(Value::Done))
    }
}
