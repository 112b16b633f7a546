// SPDX-License-Identifier: GPL-2.0

//! The state of a cache: the request table and the daemon's session.

use crate::{
    completion::{Completion, Event, RequestObject},
    requests::{Config, ObjectMemory, ReadMemory, Refusal, Table},
    run::Run,
    Errno,
};
use core::ops::Deref;

/// The types and the memory of a [`State`].
pub trait Memory:
    Config<
    Object: RequestObject,
    Completion: Deref<Target = Completion<<Self as Config>::Object>>, //
>
{
    /// A reference to a cache directory.
    type Directory: Clone;
    /// Memory for a completion.
    type CompletionMemory;

    /// Allocates memory for a completion; `None` if there is none. May sleep.
    fn completion_memory() -> Option<Self::CompletionMemory>;

    /// A reference to a completion, which is moved into `memory`.
    fn completion(
        memory: Self::CompletionMemory,
        completion: Completion<Self::Object>,
    ) -> Self::Completion;
}

/// Memory for a READ. Allocated without the lock: what the daemon needs for each
/// message and each write must not wait for memory that others reclaim.
pub(crate) struct NewRead<C: Memory> {
    table: ReadMemory<C>,
    completion: C::CompletionMemory,
}

impl<C: Memory> NewRead<C> {
    /// Allocates the memory; `None` if there is none. May sleep.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            table: ReadMemory::new()?,
            completion: C::completion_memory()?,
        })
    }
}

/// Memory for an object and its first OPEN. See [`NewRead`].
pub(crate) struct NewOpen<C: Memory> {
    table: ObjectMemory<C>,
    completion: C::CompletionMemory,
}

impl<C: Memory> NewOpen<C> {
    /// Allocates the memory; `None` if there is none. May sleep.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            table: ObjectMemory::new()?,
            completion: C::completion_memory()?,
        })
    }
}

/// The state of a cache, which one lock protects.
pub struct State<C: Memory> {
    /// The request table.
    pub table: Table<C>,
    /// Extensions that the daemon has enabled.
    pub features: u64,
    /// The cache directory, while a daemon has the cache bound.
    directory: Option<C::Directory>,
    /// Percentage of the directory's blocks that must stay free.
    stop: u8,
    /// Number of open files that keep the cache from being attached again: the
    /// device and the descriptors of objects.
    pins: u32,
}

impl<C: Memory> Default for State<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Memory> State<C> {
    /// The state of a cache without a daemon.
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            features: 0,
            directory: None,
            stop: 0,
            pins: 0,
        }
    }

    /// Takes the first pin, for an opening of the device.
    ///
    /// # Errors
    ///
    /// EBUSY while files of an earlier opening are in use.
    pub fn attach(&mut self) -> Result<(), Errno> {
        if self.pins != 0 {
            return Err(Errno::EBUSY);
        }
        self.pins = 1;
        self.features = 0;
        Ok(())
    }

    /// Takes a pin, for a descriptor of an object.
    pub fn pin(&mut self) {
        self.pins = self.pins.wrapping_add(1);
    }

    /// Drops a pin. With the last one the cache is unbound: returns its directory,
    /// for the caller to drop without the lock.
    pub fn unpin(&mut self) -> Option<C::Directory> {
        self.pins = self.pins.wrapping_sub(1);
        self.directory.take_if(|_| self.pins == 0)
    }

    /// Starts a session in `directory`, of whose blocks `stop` per cent must stay
    /// free.
    pub(crate) fn bind(&mut self, directory: C::Directory, stop: u8) {
        self.directory = Some(directory);
        self.stop = stop;
        self.table.start();
    }

    /// The cache directory.
    ///
    /// # Errors
    ///
    /// ENOBUFS if the cache is not bound.
    pub fn directory(&self) -> Result<C::Directory, Errno> {
        self.directory.clone().ok_or(Errno::ENOBUFS)
    }

    /// Percentage of the directory's blocks that must stay free.
    pub(crate) fn stop(&self) -> u8 {
        self.stop
    }

    /// Submits an OPEN of an object, or joins the pending one.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) fn open(
        &mut self,
        object: &C::Object,
        memory: NewOpen<C>,
    ) -> Result<C::Completion, Refusal> {
        if let Some(completion) = self.table.join_open(object.key()) {
            return Ok(completion);
        }
        if !self.table.knows(object.key()) {
            self.table
                .add_object(object.key(), object.clone(), memory.table);
        }
        let completion = Completion::new(object.clone(), Run::EMPTY);
        let completion = C::completion(memory.completion, completion);
        self.table.open(object.key(), completion.clone())?;
        object.trace(Event::Submit, Run::EMPTY, Ok(()));
        Ok(completion)
    }

    /// Submits a READ. Returns whether the device has become readable.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Full`] if there is no `memory`.
    pub(crate) fn read(
        &mut self,
        object: &C::Object,
        lane: &C::Lane,
        run: Run,
        memory: &mut Option<NewRead<C>>,
    ) -> Result<bool, Refusal> {
        let memory = memory.take().ok_or(Refusal::Full)?;
        let completion = Completion::new(object.clone(), run);
        let completion = C::completion(memory.completion, completion);
        let readable = self
            .table
            .read(object.key(), lane, run, completion, memory.table)?;
        object.trace(Event::Submit, run, Ok(()));
        Ok(readable)
    }
}
