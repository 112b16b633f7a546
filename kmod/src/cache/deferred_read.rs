// SPDX-License-Identifier: GPL-2.0

//! Reads of folios that wait without a task, with the kernel's folios and lists.
//!
//! See [`ondine_ondemand::deferred`].

use super::{error, local, Cache, Object, ObjectRef};
use crate::vfs::ReadRequest;
use kernel::prelude::*;
use ondine_ondemand::{
    deferred::{self, DeferredList},
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

impl deferred::Folios<Cache> for Folios {
    fn run(&self) -> Run {
        Run::touched_by(self.request.address(), self.request.len())
    }

    fn start(self, object: &ObjectRef) {
        local::read(object.file(), self.request, self.direct);
    }

    fn fail(self, errno: Errno) {
        self.request.fail(error(errno));
    }
}

impl DeferredList<Cache, Folios> for Object {
    type Reads = KVec<DeferredRead>;

    fn push(&self, read: DeferredRead) {
        // Without memory the push drops the read, whose folios fail by that.
        let _pushed = self.deferred().lock().push(read, GFP_KERNEL);
    }

    fn take(&self) -> KVec<DeferredRead> {
        core::mem::take(&mut *self.deferred().lock())
    }
}
