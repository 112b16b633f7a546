// SPDX-License-Identifier: GPL-2.0

//! An object as one mount uses it: what hits, and what waits.

use super::{
    contents::{pages_touched, Contents},
    error, local,
    mount::{time_left, Mount},
    parked::Parked,
    registry::Role,
    ticket::Ticket,
    Object, ObjectRef,
};
use crate::vfs::{Backing, Batch, MetaSlice};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
use ondine_ondemand::{
    presence::PAGE_SHIFT,
    requests::{Outcome, Refusal},
    Run,
};

/// A request asks for this many pages at most: 1 MiB.
const PIECE: u64 = (1 << 20) >> PAGE_SHIFT;
/// Metadata is asked for in aligned runs of this many pages: 128 KiB.
const META_RUN: u64 = (128 << 10) >> PAGE_SHIFT;

/// A blob that a daemon fills.
pub(crate) struct OnDemand {
    pub(super) object: ObjectRef,
    pub(super) mount: Arc<Mount>,
    /// As for a [`Local`](super::Local) blob.
    pub(super) direct: bool,
}

impl OnDemand {
    /// The blob with this cookie key.
    ///
    /// # Errors
    ///
    /// As [`Mount::object`].
    pub(crate) fn open(
        mount: &Arc<Mount>,
        cookie: &[u8],
        role: Role,
        direct: bool,
    ) -> Result<Self> {
        Ok(Self {
            object: mount.object(cookie, role)?,
            mount: mount.clone(),
            direct,
        })
    }

    /// The cache file.
    pub(super) fn file(&self) -> &Backing {
        self.object.file()
    }

    /// Whether `[address, address + len)` is there to be read.
    #[inline]
    pub(super) fn has(&self, address: u64, len: u64) -> bool {
        self.object
            .contents()
            .is_some_and(|contents| contents.has(pages_touched(address, len)))
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.object.contents().is_some_and(Contents::is_whole)
    }

    /// Metadata, as [`Blob::bytes`](super::Blob::bytes): waits for what is
    /// missing.
    pub(super) fn bytes(&self, address: u64, len: usize) -> Result<MetaSlice> {
        let mut len = len as u64;
        if !self.has(address, len) {
            // One page is enough; what follows is asked for on the way.
            let page = PAGE_SIZE as u64;
            len = len.min(page.wrapping_sub(address & page.wrapping_sub(1)));
            let first = address >> PAGE_SHIFT;
            let run = Run {
                first: first & !META_RUN.wrapping_sub(1),
                count: META_RUN,
            };
            self.ask(run);
            // Whoever looks at metadata is told what reading it gives.
            self.wait(Run { first, count: 1 }).map_err(|error| {
                if error == ENOBUFS {
                    EIO
                } else {
                    error
                }
            })?;
        }
        self.file().bytes(address, len as usize)
    }

    /// Asks for what is missing of `[address, address + len)`, and does not
    /// wait for it.
    pub(super) fn ask_for(&self, address: u64, len: u64) {
        self.ask(pages_touched(address, len));
    }

    /// Waits until `[address, address + len)` is there.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub(super) fn wait_for(&self, address: u64, len: u64) -> Result {
        self.wait(pages_touched(address, len))
    }

    /// Fills the page cache ranges of `batch`, now or when they are there.
    pub(super) fn read(&self, batch: Batch) {
        if self.has(batch.address(), batch.len()) {
            self.mount.hit();
            local::read(self.file(), batch, self.direct);
            return;
        }
        self.mount.missed();
        Object::park(&self.object, Parked::new(self, batch));
    }

    fn ask(&self, run: Run) {
        let pages = self
            .object
            .contents()
            .map_or(0, |contents| contents.pages());
        let run = Run {
            count: run.end().min(pages).saturating_sub(run.first),
            ..run
        };
        // Only a hint: who needs a page will ask again, and then be told.
        if let Ok(Some(asked)) = self.mount.cache.ask(&self.object, run, PIECE, false) {
            self.mount.asked(asked.asked);
        }
    }

    /// Waits until the pages of `run` are there.
    ///
    /// # Errors
    ///
    /// EIO if the daemon answered without writing them, if there is no daemon
    /// and the mount is soft, or if they are beyond the end; what the daemon
    /// says; EINTR if the task is killed; ETIMEDOUT.
    fn wait(&self, run: Run) -> Result {
        let mount = &*self.mount;
        let aborts = mount.aborts();
        let given_up = || mount.aborts() != aborts;
        let waiting = mount.wait();
        loop {
            let limit = time_left(waiting.since(), mount.policy.limit)?;
            match enter(mount, &self.object, run)? {
                Entered::Present => return Ok(()),
                Entered::NoSession => mount.cache.wait_for_session(limit, given_up)?,
                Entered::Asked(wanted) => {
                    let done = || wanted.ticket.outcome().is_some() || given_up();
                    self.object.waiters().wait(limit, done)?;
                    judge(&self.object, &wanted)?;
                }
            }
            if given_up() {
                return Err(EIO);
            }
        }
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        self.mount.cache.release(&self.object);
    }
}

/// What a read waits for.
pub(super) struct Wanted {
    /// The first page that is missing.
    first: u64,
    /// The request for it.
    pub(super) ticket: Arc<Ticket>,
}

/// What asking for pages comes to.
pub(super) enum Entered {
    /// They are all there.
    Present,
    /// A request is under way.
    Asked(Wanted),
    /// There is no daemon to ask, and the mount is one that waits for one.
    NoSession,
}

/// Asks for what is missing of `run`, for a read that is going to wait.
///
/// # Errors
///
/// EIO if it cannot come; ENOMEM.
pub(super) fn enter(mount: &Mount, object: &ObjectRef, run: Run) -> Result<Entered> {
    let asked = match object.contents() {
        Some(contents) if run.end() > contents.pages() => return Err(EIO),
        Some(_) => mount.cache.ask(object, run, PIECE, true),
        // The daemon has not told the size yet.
        None => match mount.cache.open(object) {
            Ok(None) => return enter(mount, object, run),
            Ok(Some(ticket)) => {
                return Ok(Entered::Asked(Wanted {
                    first: run.first,
                    ticket,
                }))
            }
            Err(refusal) => Err(refusal),
        },
    };
    match asked {
        Ok(None) => Ok(Entered::Present),
        Ok(Some(asked)) => {
            mount.asked(asked.asked);
            let ticket = asked.joined.ok_or(EIO)?;
            if ticket.join() {
                mount.merged();
            }
            Ok(Entered::Asked(Wanted {
                first: asked.first,
                ticket,
            }))
        }
        Err(Refusal::Dead) if mount.policy.hard => Ok(Entered::NoSession),
        Err(Refusal::Full) => Err(ENOMEM),
        Err(Refusal::Dead | Refusal::Dropped | Refusal::Busy) => Err(EIO),
    }
}

/// Whether a read whose request has ended may go on: its pages are there, or it
/// makes sense to ask again.
///
/// # Errors
///
/// What the read ends with.
pub(super) fn judge(object: &ObjectRef, wanted: &Wanted) -> Result {
    match wanted.ticket.outcome() {
        None => Ok(()),
        // An OPEN.
        Some(Outcome::Answered) if wanted.ticket.run() == Run::EMPTY => Ok(()),
        Some(Outcome::Failed(_)) if wanted.ticket.run() == Run::EMPTY => Err(ENOBUFS),
        Some(Outcome::Answered) => {
            let contents = object.contents().ok_or(EIO)?;
            let has = |first| contents.has(Run { first, count: 1 });
            // Where the request was met in part, the rest is asked for again;
            // where nothing came, nothing would.
            if has(wanted.first) || has(wanted.ticket.run().first) {
                Ok(())
            } else {
                Err(EIO)
            }
        }
        // What came before the daemon went is there. For the rest, the mount's
        // policy counts.
        Some(Outcome::Dead) => Ok(()),
        Some(Outcome::Dropped) => Err(EIO),
        Some(Outcome::Failed(errno)) => Err(error(errno)),
    }
}
