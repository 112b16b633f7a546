// SPDX-License-Identifier: GPL-2.0

//! The cost of a request in the request table, by the number of others that are
//! outstanding: nanoseconds to submit, to deliver and to complete a READ.
//!
//! ```text
//! cargo run --release -p ondine-ondemand --example request_cost
//! ```
//!
//! The table is the kernel's, its maps are those of the tests. Memory is allocated in
//! between, as the module does it without the lock.

#[path = "../tests/support/tree.rs"]
mod tree;

use ondine_ondemand::{
    requests::{Config, Lane, Map, ObjectMemory, ReadMemory, Table},
    Run,
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tree::Tree;

/// Numbers of outstanding requests.
const OUTSTANDING: [u64; 3] = [10, 1_000, 100_000];
/// Requests that are measured for each.
const MEASURED: u64 = 200_000;
/// The key of the object.
const KEY: u64 = 1;

/// Completions are numbers.
struct Numbers;

impl Config for Numbers {
    type Completion = u64;
    type Object = u64;
    type Lane = Rc<Lane>;
    type Map<K: Copy + Ord, V> = Tree<K, V>;
}

/// Time of all measured requests, by step.
#[derive(Default)]
struct Cost {
    submit: Duration,
    deliver: Duration,
    complete: Duration,
}

/// A table with an object that is open.
fn table() -> Table<Numbers> {
    let mut table = Table::new();
    table.start();
    let memory = ObjectMemory::new().expect("there is memory");
    table.add_object(KEY, KEY, memory);
    table.open(KEY, 0).expect("there is a session");
    let opening = table.peek().expect("the OPEN is new").sequence;
    table.begin_open(opening);
    table.finish_open(opening).expect("the OPEN is pending");
    table.answer_open(opening, Ok(()), |_, _| {});
    table
}

/// Submits a READ of the `n`-th page as a reader does, which looks for a pending READ
/// first. Neighbours in time are far from each other in the file.
fn submit(table: &mut Table<Numbers>, lane: &Rc<Lane>, n: u64) {
    let page = Run {
        first: n.wrapping_mul(0x9e37_79b1) % (1 << 32) * 2,
        count: 1,
    };
    let missing = table.uncovered(KEY, page).expect("no READ covers it");
    let memory = ReadMemory::new().expect("there is memory");
    table
        .read(KEY, lane, missing, n, memory)
        .expect("it is open");
}

/// The id of the next message.
fn deliver(table: &mut Table<Numbers>) -> u32 {
    let pending = table.peek().expect("a READ is new");
    table.deliver(pending.sequence);
    pending.id()
}

/// Measures requests while `outstanding` others are, half of which the daemon has read.
fn measure(outstanding: u64) -> Cost {
    let lane = Rc::new(Lane::new(1));
    let (mut table, mut cost) = (table(), Cost::default());
    let mut ids = std::collections::VecDeque::new();
    for n in 0..outstanding {
        submit(&mut table, &lane, n);
    }
    for _ in 0..outstanding / 2 {
        ids.push_back(deliver(&mut table));
    }
    let batch = outstanding.min(1_000);
    let mut n = outstanding;
    for _ in 0..MEASURED / batch {
        let began = Instant::now();
        for _ in 0..batch {
            submit(&mut table, &lane, n);
            n += 1;
        }
        cost.submit += began.elapsed();
        let began = Instant::now();
        for _ in 0..batch {
            ids.push_back(deliver(&mut table));
        }
        cost.deliver += began.elapsed();
        let began = Instant::now();
        for _ in 0..batch {
            let id = ids.pop_front().expect("a READ was delivered");
            table.answer_read(id, KEY).expect("it is pending");
        }
        cost.complete += began.elapsed();
    }
    assert_eq!(table.len() as u64, outstanding);
    cost
}

fn main() {
    println!("nanoseconds per READ");
    println!(
        "{:>12} {:>9} {:>9} {:>9}",
        "outstanding", "submit", "deliver", "complete"
    );
    for outstanding in OUTSTANDING {
        let cost = measure(outstanding);
        let each = |time: Duration| time.as_nanos() / u128::from(MEASURED);
        let (submit, deliver) = (each(cost.submit), each(cost.deliver));
        let complete = each(cost.complete);
        println!("{outstanding:>12} {submit:>9} {deliver:>9} {complete:>9}");
    }
}
