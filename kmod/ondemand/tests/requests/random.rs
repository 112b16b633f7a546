// SPDX-License-Identifier: GPL-2.0

//! Whatever happens, each completion is given out once, and none is forgotten.

use crate::table::{add_object, next, read, started, Requests};
use ondine_ondemand::{
    requests::{Outcome, What},
    Errno, Run,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Event {
    Open(u64),
    Read(u64, u64, u64),
    Next,
    Copen(u32, bool),
    Complete(u32, u64),
    Close(u64, u32),
    Restore,
    Undeliverable(u32),
    Drop(u64),
    Die,
    Start,
}

fn event() -> impl Strategy<Value = Event> {
    let key = 1..4u64;
    let id = 0..20u32;
    prop_oneof![
        3 => key.clone().prop_map(Event::Open),
        6 => (key.clone(), 0..16u64, 1..8u64).prop_map(|(k, f, c)| Event::Read(k, f, c)),
        8 => Just(Event::Next),
        4 => (id.clone(), any::<bool>()).prop_map(|(i, ok)| Event::Copen(i, ok)),
        4 => (id.clone(), key.clone()).prop_map(|(i, k)| Event::Complete(i, k)),
        2 => (key.clone(), 1..6u32).prop_map(|(k, h)| Event::Close(k, h)),
        1 => Just(Event::Restore),
        1 => id.prop_map(Event::Undeliverable),
        1 => key.prop_map(Event::Drop),
        1 => Just(Event::Die),
        2 => Just(Event::Start),
    ]
}

struct World {
    table: Requests,
    issued: u32,
    ended: BTreeSet<u32>,
}

impl World {
    fn end(ended: &mut BTreeSet<u32>, completion: u32) {
        assert!(
            ended.insert(completion),
            "completion {completion} ended twice"
        );
    }

    fn step(&mut self, event: Event) {
        let ended = &mut self.ended;
        let mut end = |completion: u32, _: Outcome| Self::end(ended, completion);
        let table = &mut self.table;
        match event {
            Event::Open(key) => {
                if table.open(key, self.issued).is_ok() {
                    self.issued += 1;
                }
            }
            Event::Read(key, first, count) => {
                if read(table, key, Run { first, count }, self.issued).is_ok() {
                    self.issued += 1;
                }
            }
            Event::Next => {
                if let Some(pending) = table.peek() {
                    if pending.what == What::Open {
                        table.begin_open(pending.sequence);
                        assert!(table.finish_open(pending.sequence).is_some());
                    } else {
                        next(table);
                    }
                }
            }
            Event::Copen(id, ok) => {
                if let Ok(opened) = table.opened(id) {
                    let answer = if ok { Ok(()) } else { Err(Errno::ENOENT) };
                    let (answer, _) = table.answer_open(opened.sequence, answer, &mut end);
                    if let Some(completion) = answer.and_then(|answer| answer.completion) {
                        end(completion, Outcome::Answered);
                    }
                }
            }
            Event::Complete(id, key) => {
                if let Ok(Some(completion)) = table.answer_read(id, key) {
                    end(completion, Outcome::Answered);
                }
            }
            Event::Close(key, handle) => {
                table.handle_closed(key, handle);
            }
            Event::Restore => table.restore(),
            Event::Undeliverable(id) => table.undeliverable(u64::from(id), Errno::EFAULT, end),
            Event::Drop(key) => {
                table.drop_object(key, end);
                // The next mount of the same blob.
                if !table.knows(key) {
                    add_object(table, key);
                }
            }
            Event::Die => table.die(end),
            Event::Start => {
                if table.is_dead() {
                    table.start();
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn each_completion_is_given_out_once(events in prop::collection::vec(event(), 1..200)) {
        let mut world = World { table: started(&[1, 2, 3]), issued: 0, ended: BTreeSet::new() };
        for event in events {
            world.step(event);
        }
        let ended = &mut world.ended;
        world.table.die(|completion, _| World::end(ended, completion));
        prop_assert_eq!(world.ended.len(), world.issued as usize);
        prop_assert!(world.table.is_empty());
    }
}
