// SPDX-License-Identifier: GPL-2.0

//! The request table in the kernel's memory.

use super::{Cache, ObjectRef};
use crate::vfs::CacheDir;
use kernel::{prelude::*, sync::Arc};
use ondine_ondemand::{
    requests::{self, Config, Request, Store},
    state::Memory,
    Completion, Run,
};

/// The reference to a completion that its waiters and the table hold.
pub(super) type CompletionRef = Arc<Completion<ObjectRef>>;

/// A vector that grows only when it is told to.
pub(crate) struct Slots<T>(KVVec<T>);

impl<T> Slots<T> {
    /// No room.
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Makes room for at least `more` further items.
    fn reserve(&mut self, more: usize) -> Result {
        Ok(self.0.reserve(more, GFP_KERNEL)?)
    }
}

impl<T> Store<T> for Slots<T> {
    fn as_slice(&self) -> &[T] {
        &self.0
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn room(&self) -> usize {
        self.0.capacity().saturating_sub(self.0.len())
    }

    fn push(&mut self, item: T) -> core::result::Result<(), T> {
        self.0.push_within_capacity(item).map_err(|error| error.0)
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        self.0.remove(index).ok()
    }
}

impl Config for Cache {
    type Completion = CompletionRef;
    type Object = ObjectRef;
    type Requests = Slots<Request<CompletionRef>>;
    type Objects = Slots<requests::Object<ObjectRef>>;
}

impl Memory for Cache {
    type Directory = Arc<CacheDir>;

    fn reserve(requests: &mut Self::Requests, objects: &mut Self::Objects, more: usize) -> bool {
        requests
            .reserve(more)
            .and_then(|()| objects.reserve(1))
            .is_ok()
    }

    fn new_completion(object: &ObjectRef, run: Run) -> Option<CompletionRef> {
        Arc::new(Completion::new(object.clone(), run), GFP_KERNEL).ok()
    }
}
