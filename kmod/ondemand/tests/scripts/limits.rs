// SPDX-License-Identifier: GPL-2.0

//! Limits of what the kernel remembers for a mount.

use std::rc::Rc;

use ondine_model::observation::Errno;
use ondine_model::protocol::{Blob, Event, MessageId, Mount, Options, Pages, Reply, Waiter};
use ondine_ondemand::deferred_count::DeferredPages;
use ondine_ondemand::platform::CacheOps;
use ondine_ondemand::Run;

use super::cache::{Cache, DeferredRead, Folios};
use super::world::World;

const MOUNT: Mount = Mount(0);
const BLOB: Blob = Blob(0);
const TASK: Waiter = Waiter(0);
const DEFERRED: Waiter = Waiter(2);

/// A world with a mounted blob of 64 MiB.
fn mounted() -> World {
    let mut world = World::new();
    for event in [
        Event::OpenDevice,
        Event::Bind,
        Event::Mount(TASK, MOUNT, BLOB, Options::default()),
        Event::Receive(None),
        Event::Copen(Some(MessageId(0)), Reply::Size(64 << 20)),
    ] {
        world.apply(event);
    }
    assert!(world.mounts.contains_key(&MOUNT));
    world
}

fn read(world: &mut World, waiter: Waiter, first: u64, count: u64) {
    let pages = Pages::new(first, count);
    world.apply(Event::Read(waiter, MOUNT, BLOB, pages));
}

fn outstanding(world: &World) -> usize {
    world.cache.lock().table.len()
}

#[test]
fn only_a_task_that_waits_goes_over_the_limit_of_undelivered_reads() {
    let mut world = mounted();
    let limit = Cache::UNDELIVERED_MAX;
    for n in 0..100 {
        world.prefetch(MOUNT, BLOB, Pages::new(4 * n, 1));
    }
    assert_eq!(outstanding(&world), limit);
    // A READ is of 2 pages: this one wants four.
    read(&mut world, TASK, 1000, 8);
    assert_eq!(outstanding(&world), limit + 1, "the one that it waits for");
    read(&mut world, DEFERRED, 2000, 1);
    let again = Errno(11);
    assert_eq!(world.over.get(&DEFERRED), Some(&Err(again)));
    world.begin();
    read(&mut world, DEFERRED, 0, 1);
    assert!(world.is_inside(DEFERRED), "its page is on the way");
    assert_eq!(outstanding(&world), limit + 1);
    world.apply(Event::Kill(TASK));
    assert_eq!(outstanding(&world), limit, "nobody waits for it");
    world.apply(Event::Receive(None));
    world.prefetch(MOUNT, BLOB, Pages::new(3000, 8));
    assert_eq!(outstanding(&world), limit + 1, "as much as was delivered");
}

#[test]
fn deferred_reads_hold_a_limited_number_of_pages() {
    let world = mounted();
    let mounted = &world.mounts[&MOUNT];
    let read = |first, count| {
        let folios = Folios {
            waiter: DEFERRED,
            run: Run { first, count },
            results: Rc::default(),
        };
        let (mount, object) = (mounted.mount.clone(), mounted.blobs[&BLOB].clone());
        DeferredRead::new(mount, object, folios)
    };
    let most = DeferredPages::MAX as u64;
    let first = read(0, most - 1);
    assert!(first.is_ok());
    assert!(read(most, 2).is_err());
    let last = read(most, 1);
    assert!(last.is_ok());
    drop(first);
    assert!(read(0, most - 1).is_ok());
}
