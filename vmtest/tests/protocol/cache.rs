// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The request table as `kmod/src/cache` uses it: objects, their cache files, and what asks for them.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use ondine_model::protocol::Blob;
use ondine_ondemand::presence::{pages_of, words_for, PAGE_SHIFT};
use ondine_ondemand::requests::{self, Outcome, Refusal, Request, Table};
use ondine_ondemand::{Errno, Presence, Run};

use super::slots::Slots;

pub(crate) type RequestTable =
    Table<Rc<Ticket>, Rc<Object>, Slots<Request<Rc<Ticket>>>, Slots<requests::Object<Rc<Object>>>>;

/// How a request ended, for those who wait for it.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) blob: Blob,
    /// Of an OPEN, empty.
    pub(crate) run: Run,
    pub(crate) outcome: Cell<Option<Outcome>>,
}

/// A blob in use.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: u64,
    pub(crate) blob: Blob,
    contents: OnceCell<Contents>,
    dropped: Cell<bool>,
}

/// Size and presence, once the daemon has told the size.
#[derive(Debug)]
pub(crate) struct Contents {
    size: u64,
    pub(crate) pages: u64,
    words: Vec<AtomicU64>,
}

impl Contents {
    pub(crate) fn presence(&self) -> Presence<'_> {
        Presence::new(&self.words, self.pages)
    }
}

impl Object {
    pub(crate) fn contents(&self) -> Option<&Contents> {
        self.contents.get()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.contents().is_some() && !self.dropped.get()
    }

    pub(crate) fn has(&self, page: u64) -> bool {
        let contents = self.contents();
        contents.is_some_and(|contents| contents.presence().contains(page, 1))
    }
}

/// A cache file: what its extents say, and the size that it was made for.
#[derive(Debug, Default)]
struct File {
    recorded: Option<u64>,
    pages: BTreeSet<u64>,
}

/// What asking for missing pages comes to.
pub(crate) struct Asked {
    pub(crate) first: u64,
    pub(crate) joined: Option<Rc<Ticket>>,
}

/// The cache, and what was seen of it since the last look.
pub(crate) struct Cache {
    pub(crate) table: RequestTable,
    /// Each object in use, and how many uses it has.
    entries: Vec<(Rc<Object>, usize)>,
    next_key: u64,
    files: BTreeMap<Blob, File>,
    /// A directory is bound.
    bound: bool,
    pub(crate) alive: bool,
    /// The device, and descriptors of objects.
    pub(crate) pins: u32,
    /// Pollers of the device were woken.
    pub(crate) notified: bool,
    /// Tickets that ended.
    pub(crate) ended: Vec<Rc<Ticket>>,
}

/// Ends a ticket, which nobody else may do.
fn end(ended: &mut Vec<Rc<Ticket>>, ticket: Rc<Ticket>, outcome: Outcome) {
    let before = ticket.outcome.replace(Some(outcome));
    assert!(before.is_none(), "{ticket:?} ended as {before:?} before");
    ended.push(ticket);
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(Slots::new(), Slots::new()),
            entries: Vec::new(),
            next_key: 1,
            files: BTreeMap::new(),
            bound: false,
            alive: false,
            pins: 0,
            notified: false,
            ended: Vec::new(),
        }
    }

    pub(crate) fn bind(&mut self) {
        self.bound = true;
        self.table.start();
        self.alive = true;
    }

    /// The device is closed.
    pub(crate) fn detach(&mut self) {
        self.alive = false;
        let ended = &mut self.ended;
        self.table
            .die(|ticket, outcome| end(ended, ticket, outcome));
        self.unpin();
        self.notified = true;
    }

    pub(crate) fn unpin(&mut self) {
        self.pins -= 1;
        self.bound &= self.pins != 0;
    }

    pub(crate) fn notify_if(&mut self, readable: bool) {
        self.notified |= readable;
    }

    /// The object of a mount, which the daemon is asked to open.
    pub(crate) fn object(&mut self, blob: Blob) -> Result<Rc<Object>, Errno> {
        let object = self.find_or_make(blob)?;
        match self.open(&object) {
            Ok(_) => Ok(object),
            Err(_) => {
                self.release(&object);
                Err(Errno::ENOBUFS)
            }
        }
    }

    fn find_or_make(&mut self, blob: Blob) -> Result<Rc<Object>, Errno> {
        if let Some((object, users)) = self.entries.iter_mut().find(|(one, _)| one.blob == blob) {
            *users += 1;
            return Ok(object.clone());
        }
        if !self.bound {
            return Err(Errno::ENOBUFS);
        }
        let object = Rc::new(Object {
            key: self.next_key,
            blob,
            contents: OnceCell::new(),
            dropped: Cell::new(false),
        });
        self.next_key += 1;
        self.entries.push((object.clone(), 1));
        Ok(object)
    }

    /// The ticket of an object's OPEN; none if its size is known.
    pub(crate) fn open(&mut self, object: &Rc<Object>) -> Result<Option<Rc<Ticket>>, Refusal> {
        if object.contents().is_some() {
            return Ok(None);
        }
        let ticket = match self.table.join_open(object.key) {
            Some(ticket) => ticket,
            None => {
                let ticket = self.ticket(object, Run::EMPTY);
                if !self.table.knows(object.key) {
                    self.table.add_object(object.key, object.clone())?;
                }
                self.table.open(object.key, ticket.clone())?;
                ticket
            }
        };
        self.notified = true;
        Ok(Some(ticket))
    }

    /// A use of the object is over.
    pub(crate) fn release(&mut self, object: &Object) {
        let key = object.key;
        let at = self.entries.iter().position(|(one, _)| one.key == key);
        let at = at.expect("who releases has a use");
        self.entries[at].1 -= 1;
        if self.entries[at].1 != 0 {
            return;
        }
        self.entries.remove(at);
        object.dropped.set(true);
        let ended = &mut self.ended;
        let readable = self
            .table
            .drop_object(key, |ticket, outcome| end(ended, ticket, outcome));
        self.notify_if(readable);
    }

    /// Asks for what is missing of `run`, and joins the request of the first missing page; none if nothing is missing.
    pub(crate) fn ask(&mut self, object: &Rc<Object>, run: Run) -> Result<Option<Asked>, Refusal> {
        let contents = object.contents().ok_or(Refusal::Dropped)?;
        let presence = contents.presence();
        let Some(first) = presence.first_missing(run.first, run.count) else {
            return Ok(None);
        };
        let mut readable = false;
        let mut at = first;
        while let Some(missing) = presence.missing_run(at, run.end() - at) {
            at = missing.end();
            while let Some(part) = self.table.uncovered(object.key, missing) {
                let ticket = self.ticket(object, part);
                readable |= self.table.read(object.key, part, ticket)?;
            }
        }
        let joined = self.table.join(object.key, first);
        self.notify_if(readable);
        Ok(Some(Asked { first, joined }))
    }

    /// A ticket, and room for its request.
    fn ticket(&mut self, object: &Rc<Object>, run: Run) -> Rc<Ticket> {
        let more = self.table.room_wanted();
        let (requests, objects) = self.table.stores();
        requests.reserve(more);
        objects.reserve(1);
        Rc::new(Ticket {
            blob: object.blob,
            run,
            outcome: Cell::new(None),
        })
    }

    /// Ends the request of a ticket that the table gave out.
    pub(crate) fn end(&mut self, ticket: Rc<Ticket>, outcome: Outcome) {
        end(&mut self.ended, ticket, outcome);
    }

    /// Something of the table that ends requests by itself.
    pub(crate) fn ending<R>(
        &mut self,
        call: impl FnOnce(&mut RequestTable, &mut dyn FnMut(Rc<Ticket>, Outcome)) -> R,
    ) -> R {
        let ended = &mut self.ended;
        call(&mut self.table, &mut |ticket, outcome| {
            end(ended, ticket, outcome)
        })
    }

    /// The daemon says how large the object is.
    pub(crate) fn set_size(&mut self, object: &Object, size: u64) -> Result<(), Errno> {
        if let Some(contents) = object.contents() {
            let same = contents.size == size;
            return same.then_some(()).ok_or(Errno::EINVAL);
        }
        let file = self.files.entry(object.blob).or_default();
        if file.recorded != Some(size) {
            file.pages.clear();
        }
        file.recorded = Some(size);
        let pages = pages_of(size);
        let words = (0..words_for(pages)).map(|_| AtomicU64::new(0)).collect();
        let contents = Contents { size, pages, words };
        for page in &file.pages {
            contents.presence().insert(*page, 1);
        }
        let set = object.contents.set(contents);
        set.expect("it was looked at above");
        Ok(())
    }

    /// The daemon writes whole pages.
    pub(crate) fn write(&mut self, object: &Object, run: Run) -> Result<(), Errno> {
        if !object.is_open() || !self.bound {
            return Err(Errno::ENOBUFS);
        }
        let file = self.files.entry(object.blob).or_default();
        file.pages.extend(run.first..run.end());
        if let Some(contents) = object.contents() {
            let (offset, len) = (run.first << PAGE_SHIFT, run.count << PAGE_SHIFT);
            let whole = ondine_ondemand::presence::pages_written(offset, len, contents.size);
            contents.presence().insert(whole.first, whole.count);
        }
        Ok(())
    }

    /// The objects in use.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Rc<Object>> {
        self.entries.iter().map(|(object, _)| object)
    }
}
