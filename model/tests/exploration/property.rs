// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Properties of every state.

use std::collections::BTreeSet;

use ondine_model::protocol::{
    Body, Identity, ObjectState, Pages, Phase, Request, Session, Wait, Want,
};
use stateright::Property;

use super::monitor::Wrong;
use super::rescue;
use super::test_state::{Setup, TestState};

pub(crate) const ONCE: &str = "every request is completed once, when it leaves the table";
pub(crate) const MISTAKEN: &str = "an answer completes only its own request";
pub(crate) const UNWRITTEN: &str = "only written pages are read";
pub(crate) const SILENT: &str = "pollers are woken when the device becomes readable or dies";
pub(crate) const ENDS: &str = "a task ends once";
pub(crate) const DESCRIPTORS: &str = "the kernel's descriptors are those that the daemon holds";
pub(crate) const DEAD: &str = "a dead session has no requests";
pub(crate) const ATTACHED: &str =
    "a reader waits for a pending READ that covers its first missing page";
pub(crate) const MERGED: &str = "pending READs of an object do not overlap";
pub(crate) const OPENS: &str = "an object has at most one OPEN pending, and has one while it opens";
pub(crate) const PRESENT: &str = "only written pages are present";
pub(crate) const POLL: &str = "poll reports what read returns";
pub(crate) const SIGNALS: &str = "a signal ends any task";
pub(crate) const CLOSING: &str =
    "closing device and descriptors ends all tasks except waiters for a session";
pub(crate) const SERVED: &str = "a correct daemon ends all tasks";
pub(crate) const UNMOUNT: &str = "a forced unmount ends the mount's tasks";

const SHARED: &str = "reachable: one answer wakes two readers";
const RECOVERED: &str = "reachable: an object mounted before the daemon's death is open after it";

/// All properties, and conditions that must be reachable for them to be meaningful.
pub(crate) fn properties(setup: &Setup) -> Vec<Property<Setup>> {
    type Holds = fn(&Setup, &TestState) -> bool;
    let always: [(&'static str, Holds); 16] = [
        (ONCE, |_, test| {
            !test.monitor.wrong.contains(&Wrong::Completion)
        }),
        (MISTAKEN, |_, test| {
            !test.monitor.wrong.contains(&Wrong::Mistaken)
        }),
        (UNWRITTEN, |_, test| {
            !test.monitor.wrong.contains(&Wrong::Unwritten)
        }),
        (SILENT, |_, test| {
            !test.monitor.wrong.contains(&Wrong::SilentPoll)
        }),
        (ENDS, |_, test| !test.monitor.wrong.contains(&Wrong::Waiter)),
        (DESCRIPTORS, |_, test| descriptors_agree(test)),
        (DEAD, |_, test| {
            session(test)
                .all(|session| session.phase == Phase::Bound || session.requests.is_empty())
        }),
        (ATTACHED, |_, test| readers_are_attached(test)),
        (MERGED, |_, test| reads_are_disjoint(test)),
        (OPENS, |_, test| opens_are_single(test)),
        (PRESENT, |_, test| only_written_is_present(test)),
        (POLL, |_, test| rescue::poll_tells_the_truth(test)),
        (SIGNALS, |_, test| rescue::signals_end_all(test)),
        (CLOSING, |_, test| rescue::closing_ends_all(test)),
        (SERVED, |_, test| rescue::a_good_daemon_ends_all(test)),
        (UNMOUNT, |_, test| rescue::forced_unmount_ends_all(test)),
    ];
    let always = always
        .into_iter()
        .map(|(name, holds)| Property::always(name, holds));
    let readers_of_one_blob = setup.mounted.len() == 1;
    let mounted_before_a_death = !setup.mounted.is_empty() && setup.budget.deaths > 0;
    let reachable: [(bool, &'static str, Holds); 2] = [
        (readers_of_one_blob, SHARED, |_, test| test.monitor.shared),
        (mounted_before_a_death, RECOVERED, |setup, test| {
            recovered(setup, test)
        }),
    ];
    let reachable = reachable.into_iter().filter(|(wanted, ..)| *wanted);
    let sometimes = reachable.map(|(_, name, holds)| Property::sometimes(name, holds));
    always.chain(sometimes).collect()
}

/// True if an object mounted before a death is open again. A death ends the session, so a bound
/// session is a new one.
fn recovered(setup: &Setup, test: &TestState) -> bool {
    let died = test.budget.deaths < setup.budget.deaths;
    let bound = session(test).any(|session| session.phase == Phase::Bound);
    let mut objects = test.kernel.state().objects.values();
    died && bound && objects.any(|object| object.state == ObjectState::Open)
}

fn session(test: &TestState) -> impl Iterator<Item = &Session> {
    test.kernel.state().session.iter()
}

fn requests(test: &TestState) -> Vec<Request> {
    session(test)
        .flat_map(|session| session.requests.values().copied())
        .collect()
}

fn descriptors_agree(test: &TestState) -> bool {
    let open: BTreeSet<_> = session(test)
        .flat_map(|session| session.descriptors.keys().copied())
        .collect();
    let behind: BTreeSet<_> = session(test)
        .flat_map(|session| &session.descriptors)
        .filter_map(|(id, blob)| blob.map(|blob| (blob, *id)))
        .collect();
    let objects = test.kernel.state().objects.iter();
    let live: BTreeSet<_> = objects
        .filter_map(|(blob, object)| match object.identity {
            Identity::Live(id) => Some((*blob, id)),
            Identity::Never | Identity::Closed => None,
        })
        .collect();
    open == test.held && behind == live
}

fn readers_are_attached(test: &TestState) -> bool {
    test.kernel
        .state()
        .waiters
        .values()
        .all(|waiting| match (waiting.want, waiting.wait) {
            (Want::Pages(wanted), Wait::Read(id, missing)) => {
                let request = session(test).find_map(|session| session.requests.get(&id));
                let covers = request.is_some_and(|request| {
                    request.blob == waiting.blob
                        && matches!(request.body, Body::Read(pages) if pages.contains(missing))
                });
                covers && wanted.contains(missing)
            }
            _ => true,
        })
}

fn reads_are_disjoint(test: &TestState) -> bool {
    let mut seen: Vec<(_, Pages)> = Vec::new();
    requests(test).into_iter().all(|request| {
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

fn opens_are_single(test: &TestState) -> bool {
    let all = requests(test);
    test.kernel.state().objects.iter().all(|(blob, object)| {
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

fn only_written_is_present(test: &TestState) -> bool {
    test.kernel.state().files.iter().all(|(blob, file)| {
        file.present
            .iter()
            .all(|page| test.monitor.written.contains(&(*blob, *page)))
    })
}
