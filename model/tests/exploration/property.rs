// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What holds in every state.

use std::collections::BTreeSet;

use ondine_model::protocol::{
    Body, Identity, ObjectState, Pages, Phase, Request, Session, Wait, Want,
};
use stateright::Property;

use super::ghost::Wrong;
use super::rescue;
use super::world::{Setup, World};

pub(crate) const ONCE: &str =
    "every request is completed once, and not while it stays in the table";
pub(crate) const MISTAKEN: &str = "an answer ends nothing but what it answers";
pub(crate) const UNWRITTEN: &str = "nothing is read that was never written";
pub(crate) const SILENT: &str = "pollers are woken when there is something to read, and at death";
pub(crate) const ENDS: &str = "a task ends once";
pub(crate) const DESCRIPTORS: &str =
    "the kernel knows the descriptors that are open, and no others";
pub(crate) const DEAD: &str = "a dead session has no requests";
pub(crate) const ATTACHED: &str =
    "a reader waits for a pending READ that covers the page that it misses";
pub(crate) const MERGED: &str = "pending READs of an object do not overlap";
pub(crate) const OPENS: &str = "an object has at most one OPEN pending, and has one while it opens";
pub(crate) const PRESENT: &str = "only what was written is present";
pub(crate) const POLL: &str = "poll says what read would do";
pub(crate) const SIGNALS: &str = "a signal ends any task";
pub(crate) const CLOSING: &str =
    "closing device and descriptors ends all tasks but those that chose to wait";
pub(crate) const SERVED: &str = "a good daemon ends all tasks";
pub(crate) const UNMOUNT: &str = "a forced unmount ends the mount's tasks";

const SHARED: &str = "reachable: one answer wakes two readers";
const RECOVERED: &str = "reachable: an object mounted before the daemon's death is open after it";

/// All of them, and what must be reachable for them to mean anything.
pub(crate) fn properties(setup: &Setup) -> Vec<Property<Setup>> {
    type Holds = fn(&Setup, &World) -> bool;
    let always: [(&'static str, Holds); 16] = [
        (ONCE, |_, world| {
            !world.ghost.wrong.contains(&Wrong::Completion)
        }),
        (MISTAKEN, |_, world| {
            !world.ghost.wrong.contains(&Wrong::Mistaken)
        }),
        (UNWRITTEN, |_, world| {
            !world.ghost.wrong.contains(&Wrong::Unwritten)
        }),
        (SILENT, |_, world| {
            !world.ghost.wrong.contains(&Wrong::SilentPoll)
        }),
        (ENDS, |_, world| !world.ghost.wrong.contains(&Wrong::Waiter)),
        (DESCRIPTORS, |_, world| descriptors_agree(world)),
        (DEAD, |_, world| {
            session(world)
                .all(|session| session.phase == Phase::Bound || session.requests.is_empty())
        }),
        (ATTACHED, |_, world| readers_are_attached(world)),
        (MERGED, |_, world| reads_are_disjoint(world)),
        (OPENS, |_, world| opens_are_single(world)),
        (PRESENT, |_, world| only_written_is_present(world)),
        (POLL, |_, world| rescue::poll_tells_the_truth(world)),
        (SIGNALS, |_, world| rescue::signals_end_all(world)),
        (CLOSING, |_, world| rescue::closing_ends_all(world)),
        (SERVED, |_, world| rescue::a_good_daemon_ends_all(world)),
        (UNMOUNT, |_, world| rescue::forced_unmount_ends_all(world)),
    ];
    let always = always
        .into_iter()
        .map(|(name, holds)| Property::always(name, holds));
    let readers_of_one_blob = setup.mounted.len() == 1;
    let mounted_before_a_death = !setup.mounted.is_empty() && setup.budget.deaths > 0;
    let reachable: [(bool, &'static str, Holds); 2] = [
        (readers_of_one_blob, SHARED, |_, world| world.ghost.shared),
        (mounted_before_a_death, RECOVERED, |setup, world| {
            recovered(setup, world)
        }),
    ];
    let reachable = reachable.into_iter().filter(|(wanted, ..)| *wanted);
    let sometimes = reachable.map(|(_, name, holds)| Property::sometimes(name, holds));
    always.chain(sometimes).collect()
}

/// Deaths take the session along, and a session that is bound again can only be a new one.
fn recovered(setup: &Setup, world: &World) -> bool {
    let died = world.budget.deaths < setup.budget.deaths;
    let bound = session(world).any(|session| session.phase == Phase::Bound);
    let mut objects = world.kernel.state().objects.values();
    died && bound && objects.any(|object| object.state == ObjectState::Open)
}

fn session(world: &World) -> impl Iterator<Item = &Session> {
    world.kernel.state().session.iter()
}

fn requests(world: &World) -> Vec<Request> {
    session(world)
        .flat_map(|session| session.requests.values().copied())
        .collect()
}

fn descriptors_agree(world: &World) -> bool {
    let open: BTreeSet<_> = session(world)
        .flat_map(|session| session.descriptors.keys().copied())
        .collect();
    let behind: BTreeSet<_> = session(world)
        .flat_map(|session| &session.descriptors)
        .filter_map(|(id, blob)| blob.map(|blob| (blob, *id)))
        .collect();
    let objects = world.kernel.state().objects.iter();
    let live: BTreeSet<_> = objects
        .filter_map(|(blob, object)| match object.identity {
            Identity::Live(id) => Some((*blob, id)),
            Identity::Never | Identity::Closed => None,
        })
        .collect();
    open == world.held && behind == live
}

fn readers_are_attached(world: &World) -> bool {
    world
        .kernel
        .state()
        .waiters
        .values()
        .all(|waiting| match (waiting.want, waiting.wait) {
            (Want::Pages(wanted), Wait::Read(id, missing)) => {
                let request = session(world).find_map(|session| session.requests.get(&id));
                let covers = request.is_some_and(|request| {
                    request.blob == waiting.blob
                        && matches!(request.body, Body::Read(pages) if pages.contains(missing))
                });
                covers && wanted.contains(missing)
            }
            _ => true,
        })
}

fn reads_are_disjoint(world: &World) -> bool {
    let mut seen: Vec<(_, Pages)> = Vec::new();
    requests(world).into_iter().all(|request| {
        let Body::Read(pages) = request.body else {
            return true;
        };
        let alone = !seen
            .iter()
            .any(|(blob, other)| *blob == request.blob && other.overlaps(pages));
        seen.push((request.blob, pages));
        alone
    })
}

fn opens_are_single(world: &World) -> bool {
    let all = requests(world);
    world.kernel.state().objects.iter().all(|(blob, object)| {
        let its_open = |request: &&Request| request.blob == *blob && request.body == Body::Open;
        let opens = all.iter().filter(its_open).count();
        let refused = matches!(object.identity, Identity::Live(_));
        match object.state {
            ObjectState::Opening => opens == 1,
            ObjectState::Reopening => opens == 1 || opens == 0 && refused,
            ObjectState::Closed => opens <= 1,
            ObjectState::Open | ObjectState::Dropping => opens == 0,
        }
    })
}

fn only_written_is_present(world: &World) -> bool {
    world.kernel.state().files.iter().all(|(blob, file)| {
        file.present
            .iter()
            .all(|page| world.ghost.written.contains(&(*blob, *page)))
    })
}
