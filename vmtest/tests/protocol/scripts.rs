// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Scripts, played on both sides.

use std::collections::BTreeSet;

use ondine_model::generate::script;
use ondine_model::protocol::{
    Dialect, Event, Kernel, MessageId, Mount, ObjectId, Pages, Reply, Waiter,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::seen::Seen;
use super::world::World;

/// What scripts have to reach: what calls return, how requests end, and how tasks.
const ANSWERS: [&str; 3] = [
    "OPEN, CLOSE, READ, EBUSY, EFAULT, EINVAL, EMFILE, EMSGSIZE, ENOBUFS, EOPNOTSUPP, ERANGE",
    "OPEN: EBADFD, OPEN: EINVAL, OPEN: EIO, OPEN: ENOENT, OPEN: ERANGE, READ: EIO, READ: ENODATA",
    "task: EINTR, task: EIO, task: ENODATA, task: ETIMEDOUT, task: ok",
];

/// Events of a script.
const LENGTH: usize = 80;

/// Both sides.
struct Play {
    model: Kernel,
    world: World,
}

impl Play {
    fn new() -> Self {
        Self {
            model: Kernel::new(Dialect::Ondine),
            world: World::new(),
        }
    }

    /// Plays one event on both sides: what the model shows, and what the crate.
    fn step(&mut self, event: Event) -> (Seen, Seen) {
        let before = self.model.clone();
        let was_readable = self.world.cache.table.is_readable();
        let outcomes = self.model.apply(event);
        let happened = self.world.apply(event);
        (
            Seen::of_model(event, &before, &outcomes, &self.model),
            Seen::of_crate(event, &before, was_readable, happened, &mut self.world),
        )
    }
}

/// The event at which both sides part, if they do.
fn parting(script: &[Event]) -> Option<usize> {
    let mut play = Play::new();
    script.iter().position(|event| {
        let (model, kernel) = play.step(*event);
        model != kernel
    })
}

/// What changed by each event, the model's word to the left.
fn transcript(script: &[Event]) -> String {
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
fn shrunk(mut script: Vec<Event>, parting_at: usize) -> Vec<Event> {
    script.truncate(parting_at + 1);
    for at in (0..script.len()).rev() {
        let event = script.remove(at);
        if parting(&script).is_none() {
            script.insert(at, event);
        }
    }
    script
}

/// What shows how everything stands: all that is in flight is told again and answered, and then everything goes.
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

/// A generated script, and what comes after each.
fn scripts() -> impl Strategy<Value = Vec<Event>> {
    script(Kernel::new(Dialect::Ondine), LENGTH).prop_map(|mut script| {
        // No failure of a file system ends a session of the kernel module.
        script.retain(|event| *event != Event::CacheFails);
        script.extend(farewell());
        script
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
fn scripts_reach_every_answer() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..512 {
        let tree = scripts().new_tree(&mut runner).expect("scripts exist");
        let mut play = Play::new();
        for event in tree.current() {
            let (model, _) = play.step(event);
            reached.extend(model.answers());
        }
    }
    let mut expected = ANSWERS.iter().flat_map(|line| line.split(", "));
    assert_eq!(expected.find(|one| !reached.contains(*one)), None);
}
