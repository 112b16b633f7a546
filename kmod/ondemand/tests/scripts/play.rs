// SPDX-License-Identifier: GPL-2.0

//! A script, played on both sides.
//!
//! The model knows neither prefetch nor deferred reads: it has tasks that read. What
//! those two add is spelled out here in the model's own terms.

use std::collections::{BTreeMap, BTreeSet};

use ondine_model::observation::Errno;
use ondine_model::protocol::{
    Blob, Body, Dialect, End, Event, EventOutcome, Kernel, Mount, ObjectId, ObjectState, Pages,
    Phase, Verdict, Wait, Waiter, Want,
};

use super::device::run;
use super::seen::Seen;
use super::task::FIRST_DEFERRED;
use super::world::{Happened, World};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// An event of the model.
    Event(Event),
    /// Pages are prefetched for a mount.
    Prefetch(Mount, Blob, Pages),
    /// The cache's file system fills up, or is emptied.
    Full(bool),
    /// A task reads, and in between its look at presence and the lock, the daemon writes the pages of the
    /// `which`-th READ that it has, and completes it.
    Race(Waiter, Mount, Blob, Pages, usize),
}

/// A reader that prefetches on the model's side.
const PREFETCHER: Waiter = Waiter(99);
/// Bytes of a page.
const PAGE_SIZE: u64 = 4096;

/// Both sides.
pub(crate) struct Play {
    model: Kernel,
    pub(crate) world: World,
    /// Pages to prefetch once the size is known.
    kept: BTreeMap<Blob, Pages>,
    full: bool,
    /// The events seen so far, besides answers.
    pub(crate) reached: BTreeSet<&'static str>,
}

impl Play {
    pub(crate) fn new() -> Self {
        Self {
            model: model(),
            world: World::new(),
            kept: BTreeMap::new(),
            full: false,
            reached: BTreeSet::new(),
        }
    }

    /// Plays one action on both sides: what the model shows, and what the crate.
    pub(crate) fn step(&mut self, action: Action) -> (Seen, Seen) {
        let before = self.model.clone();
        let was_readable = self.is_readable();
        self.world.begin();
        let event = self.event(action);
        let (outcomes, happened) = self.both(action, event);
        let alive = self.model.state();
        self.kept.retain(|blob, _| alive.objects.contains_key(blob));
        let seen = (
            Seen::of_model(event, &before, &outcomes, &self.model),
            Seen::of_crate(event, &before, was_readable, happened, &self.world),
        );
        self.notice(&before, action, &seen.1);
        seen
    }

    fn is_readable(&self) -> bool {
        use ondine_ondemand::platform::CacheOps;
        self.world.cache.lock().table.is_readable()
    }

    /// The event that names the action for the model.
    fn event(&self, action: Action) -> Event {
        match action {
            Action::Event(event) => event,
            Action::Race(waiter, mount, blob, pages, _) => Event::Read(waiter, mount, blob, pages),
            Action::Prefetch(..) | Action::Full(_) => Event::Poll,
        }
    }

    fn both(&mut self, action: Action, event: Event) -> (Vec<EventOutcome>, Happened) {
        match action {
            Action::Event(Event::Write(object, _)) if self.full => {
                let happened = self.world.apply(event);
                (self.write_without_room(object), happened)
            }
            Action::Event(event) => self.event_on_both(event),
            Action::Prefetch(mount, blob, pages) => {
                let done = self.world.prefetch(mount, blob, pages);
                (self.prefetch(mount, blob, pages, done), done.into())
            }
            Action::Full(full) => {
                self.full = full;
                self.world.cache.free.set(if full { 0 } else { 100 });
                (Vec::new(), Happened::Done)
            }
            Action::Race(_, _, _, _, which) => self.race(event, which),
        }
    }

    fn event_on_both(&mut self, event: Event) -> (Vec<EventOutcome>, Happened) {
        match event {
            Event::Read(waiter, ..) | Event::Resume(waiter) | Event::Expire(waiter)
                if waiter >= FIRST_DEFERRED =>
            {
                let outcomes = self.deferred(event, waiter);
                (outcomes, self.world.apply(event))
            }
            Event::Read(_, mount, blob, pages) => {
                let possible = self.is_possible(event);
                let mut outcomes = match possible {
                    true => self.flush_for(mount, blob, pages),
                    false => Vec::new(),
                };
                outcomes.extend(self.model.apply(event));
                (outcomes, self.world.apply(event))
            }
            Event::Resume(waiter) => {
                let mut outcomes = self.flush_for_resumed(waiter);
                outcomes.extend(self.model.apply(event));
                (outcomes, self.world.apply(event))
            }
            Event::ForceUnmount(mount) => {
                let outcomes = self.force(event, mount);
                (outcomes, self.world.apply(event))
            }
            // A deferred read has no task that a signal could meet.
            Event::Kill(waiter) if waiter >= FIRST_DEFERRED && self.is_reader(waiter) => {
                (vec![EventOutcome::Ignored], self.world.apply(event))
            }
            _ => (self.model.apply(event), self.world.apply(event)),
        }
    }

    fn is_possible(&self, event: Event) -> bool {
        let outcomes = self.model.clone().apply(event);
        outcomes.first() != Some(&EventOutcome::Ignored)
    }

    fn is_reader(&self, waiter: Waiter) -> bool {
        let waiting = self.model.state().waiters.get(&waiter);
        waiting.is_some_and(|waiting| matches!(waiting.want, Want::Pages(_)))
    }

    /// Without room the daemon's writes fail, and change nothing.
    fn write_without_room(&self, object: ObjectId) -> Vec<EventOutcome> {
        let session = self.model.state().session.as_ref();
        let open = session.is_some_and(|session| session.descriptors.contains_key(&object));
        vec![match open {
            true => EventOutcome::Returned(Err(Errno::ENOBUFS)),
            false => EventOutcome::Ignored,
        }]
    }

    /// The size of a blob in pages, once it is known.
    fn size(&self, blob: Blob) -> Option<u64> {
        let state = self.model.state();
        let object = state.objects.get(&blob)?;
        let known = object.state != ObjectState::Opening;
        known.then(|| state.files[&blob].size.div_ceil(PAGE_SIZE))
    }

    fn has(&self, blob: Blob, page: u64) -> bool {
        let files = &self.model.state().files;
        files
            .get(&blob)
            .is_some_and(|file| file.present.contains(&page))
    }

    fn has_all(&self, blob: Blob, pages: Pages) -> bool {
        let size = self.size(blob).unwrap_or(0);
        pages.end <= size && pages.iter().all(|page| self.has(blob, page))
    }

    /// A prefetch is a read that nobody waits for, of pages up to the end.
    fn read_ahead(&mut self, mount: Mount, blob: Blob, pages: Pages) -> Vec<EventOutcome> {
        let end = pages.end.min(self.size(blob).unwrap_or(0));
        if pages.first >= end || self.model.state().session.is_none() {
            return Vec::new();
        }
        let pages = Pages { end, ..pages };
        let mut outcomes = self
            .model
            .apply(Event::Read(PREFETCHER, mount, blob, pages));
        outcomes.retain(|outcome| !matches!(outcome, EventOutcome::Ended(PREFETCHER, _)));
        self.forget(PREFETCHER);
        outcomes
    }

    fn forget(&mut self, waiter: Waiter) {
        let mut state = self.model.state().clone();
        state.waiters.remove(&waiter);
        self.model = self.model.clone().with_state(state);
    }

    /// A reader that has its pages leaves, and does not wait for its request.
    fn leave(&mut self, waiter: Waiter) -> Vec<EventOutcome> {
        let mut outcomes = self.model.apply(Event::Kill(waiter));
        for outcome in &mut outcomes {
            if let EventOutcome::Ended(_, result) = outcome {
                *result = Ok(());
            }
        }
        outcomes
    }

    fn prefetch(
        &mut self,
        mount: Mount,
        blob: Blob,
        pages: Pages,
        done: bool,
    ) -> Vec<EventOutcome> {
        if !done {
            return vec![EventOutcome::Ignored];
        }
        if self.size(blob).is_none() {
            let kept = self.kept.entry(blob).or_insert(pages);
            // Of pages with a gap in between, the first are kept.
            if pages.first <= kept.end && kept.first <= pages.end {
                kept.first = kept.first.min(pages.first);
                kept.end = kept.end.max(pages.end);
            }
            self.reached.insert("a prefetch waits for the size");
            return Vec::new();
        }
        let mut outcomes = self.flush(mount, blob);
        outcomes.extend(self.read_ahead(mount, blob, pages));
        outcomes
    }

    /// Requests are submitted for the blob: what was kept comes first.
    fn flush(&mut self, mount: Mount, blob: Blob) -> Vec<EventOutcome> {
        let Some(pages) = self.kept.remove(&blob) else {
            return Vec::new();
        };
        let outcomes = self.read_ahead(mount, blob, pages);
        if !outcomes.is_empty() {
            self.reached.insert("a kept prefetch is requested");
        }
        outcomes
    }

    fn flush_for(&mut self, mount: Mount, blob: Blob, pages: Pages) -> Vec<EventOutcome> {
        let submits = self
            .size(blob)
            .is_some_and(|size| pages.end <= size && !self.has_all(blob, pages));
        if submits {
            self.flush(mount, blob)
        } else {
            Vec::new()
        }
    }

    /// As [`Self::flush_for`], of a reader that goes on if its request allows.
    fn flush_for_resumed(&mut self, waiter: Waiter) -> Vec<EventOutcome> {
        let Some(waiting) = self.model.state().waiters.get(&waiter).copied() else {
            return Vec::new();
        };
        let (Want::Pages(pages), Wait::Woken { verdict, .. }) = (waiting.want, waiting.wait) else {
            return Vec::new();
        };
        let goes_on = match verdict {
            Verdict::NewSession => true,
            Verdict::Completed {
                missing,
                first,
                end,
            } => match end {
                End::Dead => true,
                End::Done => self.has(waiting.blob, missing) || self.has(waiting.blob, first),
                End::Answered(_) | End::Failed(_) => false,
            },
        };
        if goes_on {
            self.flush_for(waiting.mount, waiting.blob, pages)
        } else {
            Vec::new()
        }
    }

    /// The worker of an object takes up its deferred reads that are runnable, or `all`, one after the other. One whose
    /// request has not ended goes on all the same if its pages have come.
    fn worker(&mut self, blob: Blob, expired: Option<Waiter>, all: bool) -> Vec<EventOutcome> {
        let objects = self.world.cache.objects();
        let object = objects.iter().find(|object| object.blob == blob);
        let list = object.map_or(Vec::new(), |object| self.world.runnable_of(object, all));
        let mut outcomes = Vec::new();
        for waiter in list {
            let Some(waiting) = self.model.state().waiters.get(&waiter).copied() else {
                continue;
            };
            let Want::Pages(pages) = waiting.want else {
                continue;
            };
            if matches!(waiting.wait, Wait::Woken { .. }) {
                outcomes.extend(self.flush_for_resumed(waiter));
                outcomes.extend(self.model.apply(Event::Resume(waiter)));
            } else if self.has_all(blob, pages) {
                outcomes.extend(self.leave(waiter));
                self.reached
                    .insert("a deferred read goes on before its request ends");
            } else if expired == Some(waiter) {
                outcomes.extend(self.model.apply(Event::Expire(waiter)));
            }
        }
        outcomes
    }

    fn deferred(&mut self, event: Event, waiter: Waiter) -> Vec<EventOutcome> {
        if !self.is_possible(event) {
            return vec![EventOutcome::Ignored];
        }
        if let Event::Read(_, mount, blob, pages) = event {
            let mut outcomes = self.worker(blob, None, false);
            outcomes.extend(self.flush_for(mount, blob, pages));
            outcomes.extend(self.model.apply(event));
            return outcomes;
        }
        let blob = self.model.state().waiters[&waiter].blob;
        let mount = self.model.state().waiters[&waiter].want;
        if matches!(mount, Want::Blob(_)) {
            return self.model.apply(event);
        }
        let expired = matches!(event, Event::Expire(_)).then_some(waiter);
        self.worker(blob, expired, expired.is_some())
    }

    /// All reads of the mount look once more, and those whose pages are there get them.
    fn force(&mut self, event: Event, mount: Mount) -> Vec<EventOutcome> {
        let mut outcomes = Vec::new();
        let waiters: Vec<_> = self.model.state().waiters.clone().into_iter().collect();
        if !self.model.state().mounts.contains_key(&mount) {
            return self.model.apply(event);
        }
        for (waiter, waiting) in waiters {
            let Want::Pages(pages) = waiting.want else {
                continue;
            };
            if waiting.mount == mount && self.has_all(waiting.blob, pages) {
                if matches!(waiting.wait, Wait::Woken { .. }) {
                    outcomes.extend(self.model.apply(Event::Resume(waiter)));
                } else {
                    outcomes.extend(self.leave(waiter));
                }
            }
        }
        let mut forced = self.model.apply(event);
        forced.extend(outcomes);
        // The workers of all objects take up the reads of other mounts.
        let blobs: Vec<Blob> = self.model.state().objects.keys().copied().collect();
        for blob in blobs {
            forced.extend(self.worker(blob, None, true));
        }
        forced
    }

    /// The daemon is faster than the reader: for both sides, it comes first.
    fn race(&mut self, event: Event, which: usize) -> (Vec<EventOutcome>, Happened) {
        let session = self.model.state().session.as_ref();
        let reads = session.into_iter().flat_map(|session| {
            let handle = |blob: Blob| {
                let of = session
                    .descriptors
                    .iter()
                    .find(|(_, one)| **one == Some(blob));
                of.map(|(object, _)| *object)
            };
            session.requests.iter().filter_map(move |(id, request)| {
                let Body::Read(pages) = request.body else {
                    return None;
                };
                let answerable = request.known && session.phase == Phase::Bound;
                Some((*id, handle(request.blob)?, pages)).filter(|_| answerable)
            })
        });
        let reads: Vec<_> = reads.collect();
        let deed = reads.get(which % reads.len().max(1)).copied();
        let Some((id, object, pages)) = deed.filter(|_| !self.full) else {
            return self.event_on_both(event);
        };
        let Event::Read(waiter, mount, blob, wanted) = event else {
            unreachable!("a race is of a reader");
        };
        if waiter >= FIRST_DEFERRED || !self.is_possible(event) {
            return self.event_on_both(event);
        }
        let locks = self
            .size(blob)
            .is_some_and(|size| wanted.end <= size && !self.has_all(blob, wanted));
        let mut outcomes = self.model.apply(Event::Write(object, pages));
        outcomes.extend(self.model.apply(Event::Complete(object, id)));
        outcomes.retain(|outcome| !matches!(outcome, EventOutcome::Returned(_)));
        let submitted = self.model.state().session.clone();
        // The reader has found a page missing before, and takes along what was kept.
        let flushed = if locks {
            self.flush(mount, blob)
        } else {
            Vec::new()
        };
        outcomes.extend(flushed);
        outcomes.extend(self.model.apply(event));
        if locks && self.has_all(blob, wanted) && submitted == self.model.state().session {
            self.reached.insert("a page comes before the lock is taken");
        }
        let handle = &self.world.handles[&object].object;
        let (cache, handle) = (self.world.cache.clone(), handle.clone());
        let answer = move || {
            cache.write(&handle, run(pages)).expect("there is room");
            use ondine_ondemand::{requests, session};
            let answered =
                session::answer_read(&*cache, &handle, id.0, requests::Outcome::Answered);
            answered.expect("the daemon has it");
        };
        *self.world.cache.before_lock.borrow_mut() = Some(Box::new(answer));
        let happened = self.world.apply(event);
        // The reader took no lock.
        if let Some(answer) = self.world.cache.before_lock.take() {
            answer();
        }
        (outcomes, happened)
    }

    /// Keeps in mind what happened.
    fn notice(&mut self, before: &Kernel, action: Action, seen: &Seen) {
        let cache = &self.world.cache;
        assert_eq!(
            cache.submitted.get(),
            cache.traced.get(),
            "READs are counted"
        );
        let hard = |waiter: &Waiter| {
            let waiting = self.model.state().waiters.get(waiter);
            waiting
                .is_some_and(|one| one.wait == Wait::Session && matches!(one.want, Want::Blob(_)))
        };
        if self.model.state().waiters.keys().any(hard) {
            self.reached.insert("a hard mount waits for a session");
        }
        for (waiter, result) in &seen.over {
            let reader = *waiter >= FIRST_DEFERRED
                && before
                    .state()
                    .waiters
                    .get(waiter)
                    .is_some_and(|waiting| matches!(waiting.want, Want::Pages(_)));
            if reader {
                self.reached.insert(match result {
                    Ok(()) => "a deferred read is served",
                    Err(Errno::ETIMEDOUT) => "a deferred read times out",
                    Err(_) => "a deferred read fails",
                });
            }
        }
        let spared = |(waiter, result): (&Waiter, &Result<(), Errno>)| {
            let waiting = before.state().waiters.get(waiter);
            let failed = |end| matches!(end, End::Answered(_) | End::Failed(_));
            result.is_ok()
                && waiting.is_some_and(|waiting| {
                    matches!(waiting.wait, Wait::Woken { verdict: Verdict::Completed { end, .. }, .. } if failed(end))
                })
        };
        if seen.over.iter().any(spared) {
            self.reached
                .insert("an error spares a read whose pages are present");
        }
        let no_room = Happened::Returned(Err(Errno::ENOBUFS));
        if matches!(action, Action::Event(Event::Write(..)))
            && self.full
            && seen.happened == no_room
        {
            self.reached.insert("a write finds no room");
        }
        let cut = seen.reads.values().any(|pages| {
            let touches = |other: &&Pages| other.first == pages.end && pages.end - pages.first == 2;
            seen.reads.values().any(|other| touches(&other))
        });
        if cut {
            self.reached.insert("a run takes several READs");
        }
    }
}

/// The model, with READs as short as the scripts want them.
pub(crate) fn model() -> Kernel {
    Kernel::new(Dialect::Ondine).with_longest_read(2)
}
