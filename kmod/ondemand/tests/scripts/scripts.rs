// SPDX-License-Identifier: GPL-2.0

//! Scripts, played on both sides.

use std::collections::BTreeSet;

use ondine_model::generate::script;
use ondine_model::protocol::{Blob, Event, MessageId, Mount, ObjectId, Pages, Reply, Waiter};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::play::{model, Action, Play};

/// The outcomes that the scripts must reach: results of calls, ends of requests, and ends of tasks.
const ANSWERS: [&str; 3] = [
    "OPEN, CLOSE, READ, EBUSY, EFAULT, EINVAL, EMFILE, EMSGSIZE, ENOBUFS, EOPNOTSUPP, ERANGE",
    "OPEN: EBADFD, OPEN: EINVAL, OPEN: EIO, OPEN: ENOENT, OPEN: ERANGE, READ: EIO, READ: ENODATA",
    "task: EINTR, task: EIO, task: ENODATA, task: ETIMEDOUT, task: ok",
];

/// The turns that scripts have to take.
const TURNS: [&str; 11] = [
    "a prefetch waits for the size",
    "a kept prefetch is requested",
    "a run takes several READs",
    "a page comes before the lock is taken",
    "a hard mount waits for a session",
    "a deferred read is served",
    "a deferred read fails",
    "a deferred read times out",
    "a deferred read goes on before its request ends",
    "a write finds no room",
    "an error spares a read whose pages are present",
];

/// Events of a script.
const LENGTH: usize = 80;

/// The event at which both sides part, if they do.
fn parting(script: &[Action]) -> Option<usize> {
    let mut play = Play::new();
    script.iter().position(|event| {
        let (model, kernel) = play.step(*event);
        model != kernel
    })
}

/// The changes by each event, the model's to the left.
fn transcript(script: &[Action]) -> String {
    let mut play = Play::new();
    let mut last = Vec::new();
    let mut text = String::new();
    for event in script {
        let (model, kernel) = play.step(*event);
        text.push_str(&format!("{event:?}\n"));
        let lines: Vec<_> = model.lines().into_iter().zip(kernel.lines()).collect();
        for line @ (left, right) in &lines {
            let mark = if left == right { ' ' } else { '!' };
            if !last.contains(line) {
                text.push_str(&format!("  {mark} {left:<70} | {right}\n"));
            }
        }
        last = lines;
    }
    text
}

/// The script up to where both sides part, without what that does not need: an event that has become impossible is
/// ignored by both.
fn shrunk(mut script: Vec<Action>, parting_at: usize) -> Vec<Action> {
    script.truncate(parting_at + 1);
    for at in (0..script.len()).rev() {
        let event = script.remove(at);
        if parting(&script).is_none() {
            script.insert(at, event);
        }
    }
    script
}

/// The events that show the final state: every request in flight is delivered again and
/// answered, then everything is closed.
fn farewell() -> Vec<Event> {
    let ids = || (0..40).map(MessageId);
    let objects = || (1..20).map(ObjectId);
    let whole = Pages::new(0, 4);
    let mut events = vec![Event::Restore];
    events.extend([Event::Receive(None); 10]);
    events.extend(ids().map(|id| Event::Copen(Some(id), Reply::Size(16384))));
    events.extend([Event::Receive(None); 10]);
    for object in objects() {
        events.push(Event::Write(object, whole));
        events.extend(ids().map(|id| Event::Complete(object, id)));
    }
    events.extend((0..4).map(Waiter).map(Event::Resume));
    events.extend((0..2).map(Mount).map(Event::ForceUnmount));
    events.extend([Event::Receive(None); 3]);
    events.push(Event::CloseDevice);
    events.extend(objects().map(Event::CloseDescriptor));
    events.extend((0..4).map(Waiter).map(Event::Kill));
    events
}

/// An action that the model's generator does not know, and the part of the script after which it comes.
fn extra() -> impl Strategy<Value = (prop::sample::Index, Action)> {
    let mount = || (0..2u8).prop_map(Mount);
    let blob = || (0..2u8).prop_map(Blob);
    let pages = || (0..4u64, 1..=4u64).prop_map(|(first, count)| Pages::new(first, count));
    let within = || {
        (0..4u64, 1..=4u64).prop_map(|(first, count)| Pages {
            first,
            end: 4.min(first + count),
        })
    };
    let task = (0..2u8).prop_map(Waiter);
    let action = prop_oneof![
        4 => (mount(), blob(), pages()).prop_map(|(mount, blob, pages)| Action::Prefetch(mount, blob, pages)),
        1 => prop::bool::weighted(0.3).prop_map(Action::Full),
        6 => (task, mount(), blob(), within(), 0..8usize)
            .prop_map(|(task, mount, blob, pages, which)| Action::Race(task, mount, blob, pages, which)),
    ];
    (any::<prop::sample::Index>(), action)
}

/// A generated script, and what comes after each.
fn scripts() -> impl Strategy<Value = Vec<Action>> {
    let extras = prop::collection::vec(extra(), 0..LENGTH / 4);
    (script(model(), LENGTH), extras).prop_map(|(script, extras)| {
        // No failure of a file system ends a session of the kernel module.
        let events = script
            .into_iter()
            .filter(|event| *event != Event::CacheFails);
        let mut actions: Vec<Action> = events.map(Action::Event).collect();
        for (at, action) in extras {
            actions.insert(at.index(actions.len() + 1), action);
        }
        actions.push(Action::Full(false));
        actions.extend(farewell().into_iter().map(Action::Event));
        actions
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A shorter script is found by leaving events out, not by other choices.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_sides_tell_the_same(script in scripts()) {
        if let Some(at) = parting(&script) {
            let script = shrunk(script, at);
            let events: String = script.iter().map(|event| format!("  {event:?}\n")).collect();
            let transcript = transcript(&script);
            panic!("they part (model | kernel's crate) after\n{events}\n{transcript}");
        }
    }
}

#[test]
fn scripts_reach_every_answer_and_turn() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    let mut turns = BTreeSet::new();
    for _ in 0..512 {
        let tree = scripts().new_tree(&mut runner).expect("scripts exist");
        let mut play = Play::new();
        for action in tree.current() {
            let (model, _) = play.step(action);
            reached.extend(model.answers());
        }
        turns.extend(play.reached);
    }
    let mut expected = ANSWERS.iter().flat_map(|line| line.split(", "));
    assert_eq!(expected.find(|one| !reached.contains(*one)), None);
    assert_eq!(TURNS.into_iter().find(|one| !turns.contains(one)), None);
}
