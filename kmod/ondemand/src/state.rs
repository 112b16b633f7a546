// SPDX-License-Identifier: GPL-2.0

//! The state of a cache: the request table and the daemon's session.

use crate::{
    completion::{Completion, Event, RequestObject},
    requests::{Config, Refusal, Table},
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

    /// Makes room for `requests` further requests and one further object. Returns
    /// false if there is no memory.
    fn reserve(requests: &mut Self::Requests, objects: &mut Self::Objects, more: usize) -> bool;

    /// A new completion; `None` if there is no memory.
    fn new_completion(object: &Self::Object, run: Run) -> Option<Self::Completion>;
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

impl<C: Memory> State<C> {
    /// The state of a cache without a daemon.
    pub const fn new(requests: C::Requests, objects: C::Objects) -> Self {
        Self {
            table: Table::new(requests, objects),
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
    pub(crate) fn open(&mut self, object: &C::Object) -> Result<C::Completion, Refusal> {
        if let Some(completion) = self.table.join_open(object.key()) {
            return Ok(completion);
        }
        let completion = self.new_completion(object, Run::EMPTY)?;
        if !self.table.knows(object.key()) {
            self.table.add_object(object.key(), object.clone())?;
        }
        self.table.open(object.key(), completion.clone())?;
        object.trace(Event::Submit, Run::EMPTY, Ok(()));
        Ok(completion)
    }

    /// Submits a READ. Returns whether the device has become readable.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) fn read(&mut self, object: &C::Object, run: Run) -> Result<bool, Refusal> {
        let completion = self.new_completion(object, run)?;
        let readable = self.table.read(object.key(), run, completion)?;
        object.trace(Event::Submit, run, Ok(()));
        Ok(readable)
    }

    /// A completion, and room for its request.
    fn new_completion(&mut self, object: &C::Object, run: Run) -> Result<C::Completion, Refusal> {
        let more = self.table.room_wanted();
        let (requests, objects) = self.table.stores();
        if !C::reserve(requests, objects, more) {
            return Err(Refusal::Full);
        }
        C::new_completion(object, run).ok_or(Refusal::Full)
    }
}
