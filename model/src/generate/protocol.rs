// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated scripts of the on-demand protocol: events of a few tasks and of a daemon that may
//! misbehave.

use proptest::prelude::*;

use crate::observation::Errno;
use crate::protocol::{
    Blob, Event, EventOutcome, Kernel, MessageId, Mount, ObjectId, Options, Pages, Reply, Trouble,
    Waiter,
};

/// Generates up to `length` events for a kernel like `kernel`, each possible when its turn comes.
/// Woken readers are resumed by events of the script as well.
pub fn script(kernel: Kernel, length: usize) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any::<(u32, u32)>(), 0..=length)
        .prop_map(move |choices| play(kernel.clone(), choices))
}

/// Every kind of event with its weight, over two blobs of four pages, two mounts, four tasks, the
/// open descriptors, and message ids of which one is invalid.
fn events(kernel: &Kernel) -> Vec<(u32, Vec<Event>)> {
    let session = kernel.state().session.as_ref();
    let ids: Vec<MessageId> = session.map_or(vec![MessageId(0)], |session| {
        let pending = session.requests.keys().copied();
        pending.chain([MessageId(session.next_message)]).collect()
    });
    let ids = || ids.iter().copied();
    let objects = session
        .iter()
        .flat_map(|session| session.descriptors.keys());
    let objects: Vec<ObjectId> = objects.copied().collect();
    let objects = || objects.iter().copied();
    let answers = || objects().flat_map(|object| ids().map(move |id| (object, id)));
    let replies = [
        Reply::Size(16384),
        Reply::Size(4096),
        Reply::Error(Errno::ENOENT),
        Reply::BelowErrnos,
        Reply::NotANumber,
        Reply::OutOfRange,
    ];
    let good_copens = ids().map(|id| Event::Copen(Some(id), Reply::Size(16384)));
    let copens = replies.into_iter().flat_map(|reply| {
        let known = ids().map(move |id| Event::Copen(Some(id), reply));
        known.chain([Event::Copen(None, reply)])
    });
    let troubles = [
        Trouble::SmallBuffer,
        Trouble::BadBuffer,
        Trouble::NoDescriptor(Errno::EMFILE),
    ];
    let troubles = troubles.map(|trouble| Event::Receive(Some(trouble)));
    let writes = objects().flat_map(|id| ranges().map(move |pages| Event::Write(id, pages)));
    let failures =
        answers().map(|(object, id)| Event::CompleteWithError(object, id, Errno::ENODATA));
    let mounts_of = |event: fn(Mount) -> Event| (0..2).map(Mount).map(event).collect();
    vec![
        (60, vec![Event::OpenDevice]),
        (60, vec![Event::Bind]),
        (4, vec![Event::EnableExtensions]),
        (60, vec![Event::Receive(None)]),
        (40, troubles.to_vec()),
        (4, vec![Event::Poll]),
        (60, good_copens.collect()),
        (20, copens.collect()),
        (4, vec![Event::Restore]),
        (2, vec![Event::CloseDevice]),
        (40, writes.collect()),
        (
            40,
            answers()
                .map(|(object, id)| Event::Complete(object, id))
                .collect(),
        ),
        (6, failures.collect()),
        (12, objects().map(Event::CloseDescriptor).collect()),
        (30, mounts()),
        (60, reads()),
        (60, tasks().map(Event::Resume).collect()),
        (4, tasks().map(Event::Kill).collect()),
        (4, tasks().map(Event::Expire).collect()),
        (12, mounts_of(Event::Unmount)),
        (4, mounts_of(Event::ForceUnmount)),
        (1, vec![Event::CacheFails]),
    ]
}

fn tasks() -> impl Iterator<Item = Waiter> {
    (0..4).map(Waiter)
}

fn ranges() -> impl Iterator<Item = Pages> {
    (0..4).flat_map(|first| (1..=4 - first).map(move |count| Pages::new(first, count)))
}

fn mounts() -> Vec<Event> {
    let flags = [false, true];
    let options = flags.into_iter().flat_map(move |wait_for_session| {
        flags.map(|time_limit| Options {
            wait_for_session,
            time_limit,
        })
    });
    let mount = |options, task, mount, blob| Event::Mount(task, Mount(mount), Blob(blob), options);
    let each = options.flat_map(move |options| {
        tasks()
            .flat_map(move |task| (0..4).map(move |pair| mount(options, task, pair / 2, pair % 2)))
    });
    each.collect()
}

fn reads() -> Vec<Event> {
    let each = tasks().flat_map(|task| {
        (0..4).flat_map(move |pair| {
            ranges().map(move |pages| Event::Read(task, Mount(pair / 2), Blob(pair % 2), pages))
        })
    });
    each.collect()
}

/// Turns choices into possible events; a choice without one is dropped. One in four choices may be
/// a call that fails.
fn play(mut kernel: Kernel, choices: Vec<(u32, u32)>) -> Vec<Event> {
    let mut script = Vec::new();
    for (kind, which) in choices {
        let may_fail = kind % 4 == 0;
        let possible = |event: &Event| match kernel.clone().apply(*event).first() {
            Some(EventOutcome::Ignored) => false,
            Some(EventOutcome::Returned(Err(_))) => may_fail,
            _ => true,
        };
        if let Some(event) = choose(events(&kernel), kind / 4, which, possible) {
            kernel.apply(event);
            script.push(event);
        }
    }
    script
}

/// Selects a possible event of the kind that `kind` falls on; kinds without one are skipped.
fn choose(
    mut kinds: Vec<(u32, Vec<Event>)>,
    kind: u32,
    which: u32,
    possible: impl Fn(&Event) -> bool,
) -> Option<Event> {
    loop {
        let total: u32 = kinds.iter().map(|(weight, _)| weight).sum();
        let mut rest = kind.checked_rem(total)?;
        let fallen_on = kinds.iter().position(|(weight, _)| {
            let here = rest < *weight;
            rest = rest.wrapping_sub(*weight);
            here
        });
        let (_, mut events) = kinds.remove(fallen_on?);
        events.retain(&possible);
        if !events.is_empty() {
            return events.get(which as usize % events.len()).copied();
        }
    }
}
