// SPDX-License-Identifier: GPL-2.0

//! The observable state of either side after an event.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Body, Event, EventOutcome, Kernel, Message, MessageId, ObjectState, Pages, Request,
    State, Value, Wait, Waiter, Want,
};
use ondine_ondemand::completion::RequestObject;
use ondine_ondemand::page::PAGE_SIZE;
use ondine_ondemand::platform::{CacheOps, ObjectOps};
use ondine_ondemand::requests::What;
use ondine_ondemand::Run;

use super::device::{errno, pages};
use super::world::{Happened, World};

/// Message ids that are asked about: more than a script uses.
const IDS: u32 = 200;
/// Pages that are asked about: more than a blob has.
const PAGES: u64 = 8;

/// A request, by what it asks; an OPEN has no pages.
type Asked = (Blob, Option<Pages>);

/// An event and its consequences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) happened: Happened,
    /// Tasks that are over.
    pub(crate) over: BTreeMap<Waiter, Result<(), Errno>>,
    /// Requests that have ended, of those that somebody may wait for.
    pub(crate) ended: Vec<(Asked, Result<(), Errno>)>,
    /// Tasks inside, and whether they are about to run.
    pub(crate) inside: BTreeMap<Waiter, bool>,
    /// Number of requests in flight.
    pub(crate) in_flight: usize,
    /// Number of objects in use or with a CLOSE in flight.
    pub(crate) objects: usize,
    /// The READ that covers each page.
    pub(crate) reads: BTreeMap<(Blob, u64), Pages>,
    /// OPENs that can be answered.
    pub(crate) opens: BTreeSet<u32>,
    /// The next message for the daemon; for an OPEN, without the descriptor's id.
    pub(crate) next: Option<(u32, Told)>,
    /// Pages that are there, of each blob in use whose size is known.
    pub(crate) present: BTreeMap<Blob, BTreeSet<u64>>,
    /// The daemon has something new to read, and nobody told who polls.
    pub(crate) slept_through: bool,
}

/// A message without its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Open(Blob),
    Close(u32),
    Read(u32, Pages),
}

/// The errno of mount(2) is decided above the table: EIO and ENOBUFS are equal here.
fn mounts_errno(errno: Errno) -> Errno {
    if errno == Errno::ENOBUFS {
        Errno::EIO
    } else {
        errno
    }
}

/// A killed reader does not see its errno: the C driver has EIO, and ondine EINTR.
fn readers_errno(errno: Errno) -> Errno {
    if errno == Errno::EINTR {
        Errno::EIO
    } else {
        errno
    }
}

/// A READ's readers do not learn that the daemon's buffer was bad: for them it is EIO.
fn requests_errno(asked: Asked, errno: Errno) -> Errno {
    match asked.1 {
        Some(_) if errno == Errno::EFAULT => Errno::EIO,
        _ => errno,
    }
}

impl Seen {
    /// Each fact as a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!("{:?}", self.happened),
            format!("over {:?}", self.over),
            format!("ended {:?}", self.ended),
            format!("inside {:?}", self.inside),
            format!(
                "in flight {}: {:?}, opens {:?}, of {} objects",
                self.in_flight, self.reads, self.opens, self.objects
            ),
            format!("next {:?}", self.next),
            format!("present {:?}", self.present),
            format!("slept through {}", self.slept_through),
        ]
    }

    /// The messages and errors among it, in words.
    pub(crate) fn answers(&self) -> Vec<String> {
        let call = match self.happened {
            Happened::Returned(Ok(Value::Message(message))) => Some(match message {
                Message::Open(..) => "OPEN".into(),
                Message::Close(..) => "CLOSE".into(),
                Message::Read(..) => "READ".into(),
            }),
            Happened::Returned(Err(errno)) => Some(errno.to_string()),
            _ => None,
        };
        let requests = self.ended.iter().filter_map(|((_, pages), result)| {
            let kind = pages.map_or("OPEN", |_| "READ");
            Some(format!("{kind}: {}", result.err()?))
        });
        let tasks = self.over.values().map(|result| match result {
            Ok(()) => "task: ok".into(),
            Err(errno) => format!("task: {errno}"),
        });
        call.into_iter().chain(requests).chain(tasks).collect()
    }

    /// The same on both sides: who is a mount before the event, or becomes one by it.
    fn normal(mut self, event: Event, before: &State) -> Self {
        for (waiter, result) in &mut self.over {
            let waiting = before.waiters.get(waiter);
            let mounts = match waiting {
                Some(waiting) => matches!(waiting.want, Want::Blob(_)),
                None => matches!(event, Event::Mount(..)),
            };
            let normal = if mounts { mounts_errno } else { readers_errno };
            *result = result.map_err(normal);
        }
        for (asked, result) in &mut self.ended {
            *result = result.map_err(|errno| requests_errno(*asked, errno));
        }
        self.ended
            .sort_by_key(|(asked, result)| (*asked, result.is_ok()));
        self
    }

    /// The observable state of the model.
    pub(crate) fn of_model(
        event: Event,
        before: &Kernel,
        outcomes: &[EventOutcome],
        after: &Kernel,
    ) -> Self {
        let state = after.state();
        let mut happened = Happened::Done;
        let mut over = BTreeMap::new();
        let mut ended = Vec::new();
        for outcome in outcomes {
            match outcome {
                EventOutcome::Ignored => happened = Happened::Ignored,
                EventOutcome::Returned(returned) => happened = Happened::Returned(*returned),
                EventOutcome::Ended(waiter, result) => {
                    over.insert(*waiter, *result);
                }
                EventOutcome::Completed(id, result) => {
                    let waited_for = waited_for(before.state(), *id);
                    ended.extend(waited_for.map(|asked| (asked, *result)));
                }
                EventOutcome::Queued(_) | EventOutcome::Woken(_) | EventOutcome::PollersWoken => {}
            }
        }
        let waiters = state.waiters.iter();
        let woken = |wait| matches!(wait, Wait::Woken { .. });
        let inside = waiters.map(|(waiter, waiting)| (*waiter, woken(waiting.wait)));
        let requests = requests_of(state);
        let opens = requests.iter().filter_map(|(id, request)| {
            let answerable = request.body == Body::Open && request.known;
            answerable.then_some(id.0)
        });
        let closes = requests.iter();
        let closes = closes.filter(|(_, request)| matches!(request.body, Body::Close(_)));
        let reads = requests.iter().filter_map(|(_, request)| {
            let Body::Read(pages) = request.body else {
                return None;
            };
            Some(pages.iter().map(move |page| ((request.blob, page), pages)))
        });
        let seen = Self {
            happened,
            over,
            ended,
            inside: inside.collect(),
            in_flight: requests.len(),
            objects: state.objects.len() + closes.count(),
            reads: reads.flatten().collect(),
            opens: opens.collect(),
            next: next_of(after),
            present: present_in(state),
            slept_through: false,
        };
        seen.normal(event, before.state())
    }

    /// The observable state of the module's code; `before` is the model's state, and only names
    /// the tasks that are mounts.
    pub(crate) fn of_crate(
        event: Event,
        before: &Kernel,
        was_readable: bool,
        happened: Happened,
        world: &World,
    ) -> Self {
        let cache = &world.cache;
        let in_use = cache.objects();
        let tasks = world.tasks.iter();
        let mut inside: BTreeMap<Waiter, bool> = tasks
            .map(|(waiter, task)| (*waiter, task.is_woken()))
            .collect();
        for object in &in_use {
            let deferred = world.deferred_of(object).into_iter();
            inside.extend(deferred.map(|one| (one, world.is_deferred_woken(object, one))));
        }
        let state = cache.lock();
        let table = &state.table;
        let objects = table.census().objects;
        let ended = cache.ended.borrow();
        let ended = ended.iter().map(|(blob, run, result)| {
            let result = (*result).map_err(errno);
            ((*blob, run.map(pages)), result)
        });
        let mut reads = BTreeMap::new();
        let mut present = BTreeMap::new();
        for object in &in_use {
            let covered = (0..PAGES).filter_map(|page| {
                let completion = table.join(object.key(), page)?;
                Some(((object.blob, page), pages(completion.run())))
            });
            reads.extend(covered);
            if let Some(contents) = object.contents() {
                let has = |page: &u64| {
                    contents.has(Run {
                        first: *page,
                        count: 1,
                    })
                };
                present.insert(object.blob, (0..PAGES).filter(has).collect());
                let whole = (0..contents.pages()).all(|page| has(&page));
                assert_eq!(contents.is_fully_present(), whole);
            }
        }
        let opens = (0..IDS).filter(|id| table.opened(*id).is_ok());
        let next = table.peek().map(|pending| {
            let told = match pending.what {
                What::Open => Told::Open(pending.payload.blob),
                What::Close(id) => Told::Close(id),
                What::Read(id, run) => Told::Read(id, pages(run)),
            };
            (pending.id(), told)
        });
        let slept_through = !was_readable && table.is_readable() && !cache.notified.get();
        let seen = Self {
            happened,
            over: world.over.clone(),
            ended: ended.collect(),
            inside,
            in_flight: table.len(),
            objects,
            reads,
            opens: opens.collect(),
            next,
            present,
            slept_through,
        };
        seen.normal(event, before.state())
    }
}

fn requests_of(state: &State) -> Vec<(MessageId, Request)> {
    let session = state.session.iter();
    let requests = session.flat_map(|session| &session.requests);
    requests.map(|(id, request)| (*id, *request)).collect()
}

/// The kind of a request that a task may wait for; `None` for a CLOSE and for a further OPEN.
fn waited_for(before: &State, id: MessageId) -> Option<Asked> {
    let requests = requests_of(before);
    let (_, request) = requests.into_iter().find(|(one, _)| *one == id)?;
    match request.body {
        Body::Read(pages) => Some((request.blob, Some(pages))),
        Body::Open => {
            let first = before.objects[&request.blob].state == ObjectState::Opening;
            first.then_some((request.blob, None))
        }
        Body::Close(_) => None,
    }
}

/// The next message that a daemon would read.
fn next_of(kernel: &Kernel) -> Option<(u32, Told)> {
    let outcomes = kernel.clone().apply(Event::Receive(None));
    let Some(EventOutcome::Returned(Ok(Value::Message(message)))) = outcomes.first() else {
        return None;
    };
    Some(match *message {
        Message::Open(id, _, blob) => (id.0, Told::Open(blob)),
        Message::Close(id, object) => (id.0, Told::Close(object.0)),
        Message::Read(id, object, pages) => (id.0, Told::Read(object.0, pages)),
    })
}

/// Objects that opened at some time know their sizes; what was written beyond is not theirs.
fn present_in(state: &State) -> BTreeMap<Blob, BTreeSet<u64>> {
    let sized = state
        .objects
        .iter()
        .filter(|(_, object)| object.state != ObjectState::Opening);
    let present = sized.map(|(blob, _)| {
        let file = &state.files[blob];
        let pages = file.size.div_ceil(PAGE_SIZE);
        (*blob, file.present.range(..pages).copied().collect())
    });
    present.collect()
}
