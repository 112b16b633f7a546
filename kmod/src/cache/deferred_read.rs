// SPDX-License-Identifier: GPL-2.0

//! Reads of folios that wait without a task, with the kernel's folios and lists.
//!
//! See [`ondine_ondemand::deferred`].

use super::{error, local, Cache, Object, ObjectRef};
use crate::vfs::ReadRequest;
use ondine_ondemand::{
    deferred::{self, HasDeferred},
    Errno, Run,
};

/// The folios of a deferred read.
pub(super) struct Folios {
    pub(super) request: ReadRequest,
    /// As for a [`Local`](super::Local) blob.
    pub(super) direct: bool,
}

/// A deferred read.
pub(super) type DeferredRead = deferred::DeferredRead<Cache, Folios>;

/// The deferred reads of an object.
pub(super) type DeferredList = deferred::List<Cache, Folios>;

impl deferred::Folios<Cache> for Folios {
    fn run(&self) -> Run {
        Run::touched_by(self.request.address(), self.request.len())
    }

    fn start(self, object: &ObjectRef) {
        local::read(object.file(), self.request, self.direct);
    }

    fn fail(self, errno: Errno) {
        if errno == Errno::EAGAIN {
            self.request.give_back();
        } else {
            self.request.fail(error(errno));
        }
    }
}

impl HasDeferred<Cache, Folios> for Object {
    fn with_deferred<T>(&self, change: impl FnOnce(&mut DeferredList) -> T) -> T {
        change(&mut self.deferred().lock())
    }
}
