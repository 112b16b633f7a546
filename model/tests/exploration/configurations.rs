// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The explored configurations, and a flaw for each property that must violate it.

use std::time::Instant;

use ondine_model::protocol::{Blob, Dialect, Mount, Options};
use stateright::{Checker, HasDiscoveries, Model};

use super::flaw::Flaw;
use super::property::{
    ATTACHED, CLOSING, DEAD, DESCRIPTORS, ENDS, MERGED, MISTAKEN, ONCE, OPENS, POLL, PRESENT,
    SERVED, SIGNALS, SILENT, UNMOUNT, UNWRITTEN,
};
use super::test_state::{Budget, Setup, Task};

const ONE: Blob = Blob(0);
const TWO: Blob = Blob(1);
const OLD: Mount = Mount(0);

/// Two readers of one mounted blob.
fn two_readers() -> Setup {
    Setup {
        dialect: Dialect::Ondine,
        flaw: None,
        options: Options::default(),
        mounted: vec![ONE],
        tasks: vec![Task::Read(OLD, ONE), Task::Read(OLD, ONE)],
        budget: Budget {
            odd: 1,
            deaths: 1,
            aborts: 1,
        },
    }
}

/// Two readers of a mount that waits for a new session and has a time limit.
fn patient_readers() -> Setup {
    let options = Options {
        wait_for_session: true,
        time_limit: true,
    };
    Setup {
        options,
        ..two_readers()
    }
}

/// Two blobs of one mount with a reader each: an answer can go to the wrong one.
fn two_blobs() -> Setup {
    Setup {
        mounted: vec![ONE, TWO],
        tasks: vec![Task::Read(OLD, ONE), Task::Read(OLD, TWO)],
        budget: Budget {
            odd: 1,
            deaths: 0,
            aborts: 1,
        },
        ..two_readers()
    }
}

/// The same with a death of the daemon, after which all objects of a mount are opened again.
fn two_blobs_and_a_death() -> Setup {
    Setup {
        budget: Budget {
            odd: 0,
            deaths: 1,
            aborts: 1,
        },
        ..two_blobs()
    }
}

/// Two mounts of the same blob, and a reader of the first.
fn two_mounts() -> Setup {
    Setup {
        mounted: vec![],
        tasks: vec![
            Task::Mount(OLD, ONE),
            Task::Mount(Mount(1), ONE),
            Task::Read(OLD, ONE),
        ],
        budget: Budget {
            odd: 2,
            deaths: 1,
            aborts: 1,
        },
        ..two_readers()
    }
}

/// Explores all states and prints their number.
fn explore(name: &str, setup: Setup) {
    let began = Instant::now();
    let checker = setup.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    checker.assert_properties();
}

#[test]
fn two_readers_of_one_blob() {
    explore("two readers", two_readers());
}

#[test]
fn readers_that_wait_for_a_new_session() {
    explore("patient readers", patient_readers());
}

#[test]
fn readers_of_two_blobs() {
    explore("two blobs", two_blobs());
}

#[test]
fn readers_of_two_blobs_and_a_death() {
    explore("two blobs and a death", two_blobs_and_a_death());
}

#[test]
fn mounts_that_come_and_go() {
    explore("two mounts", two_mounts());
}

#[cfg(feature = "larger-worlds")]
fn larger(setup: Setup) -> Setup {
    let Budget {
        odd,
        deaths,
        aborts,
    } = setup.budget;
    let budget = Budget {
        odd: odd + 1,
        deaths: deaths + 1,
        aborts,
    };
    Setup { budget, ..setup }
}

#[cfg(feature = "larger-worlds")]
#[test]
fn larger_two_readers() {
    explore("two readers, larger", larger(two_readers()));
}

#[cfg(feature = "larger-worlds")]
#[test]
fn larger_patient_readers() {
    explore("patient readers, larger", larger(patient_readers()));
}

#[cfg(feature = "larger-worlds")]
#[test]
fn larger_two_blobs() {
    let budget = Budget {
        odd: 2,
        ..two_blobs().budget
    };
    explore(
        "two blobs, larger",
        Setup {
            budget,
            ..two_blobs()
        },
    );
}

#[cfg(feature = "larger-worlds")]
#[test]
fn larger_two_blobs_and_a_death() {
    let budget = Budget {
        odd: 1,
        ..two_blobs_and_a_death().budget
    };
    explore(
        "two blobs and a death, larger",
        Setup {
            budget,
            ..two_blobs_and_a_death()
        },
    );
}

#[cfg(feature = "larger-worlds")]
#[test]
fn larger_two_mounts() {
    explore("two mounts, larger", larger(two_mounts()));
}

/// Asserts that the exploration finds the flaw by violating this property.
fn caught(setup: Setup, flaw: Flaw, property: &'static str) {
    let setup = Setup {
        flaw: Some(flaw),
        ..setup
    };
    breaks(setup, property);
}

fn breaks(setup: Setup, property: &'static str) {
    let found = HasDiscoveries::AllOf([property].into());
    let checker = setup.checker().finish_when(found).spawn_bfs().join();
    checker.assert_any_discovery(property);
}

#[test]
fn completing_without_removing_is_caught() {
    caught(two_readers(), Flaw::CompleteWithoutRemove, ONCE);
}

#[test]
fn immediate_reuse_of_ids_is_caught() {
    caught(two_readers(), Flaw::ReuseIds, MISTAKEN);
}

#[test]
fn a_forgotten_flush_is_caught() {
    caught(two_readers(), Flaw::ForgetFlush, DEAD);
    caught(two_readers(), Flaw::ForgetFlush, CLOSING);
}

#[test]
fn restoring_an_answered_open_is_caught() {
    caught(two_mounts(), Flaw::RestoreAnswered, ONCE);
    caught(two_mounts(), Flaw::RestoreAnswered, OPENS);
}

#[test]
fn presence_without_a_write_is_caught() {
    caught(two_readers(), Flaw::CompleteMakesPresent, PRESENT);
    caught(two_readers(), Flaw::CompleteMakesPresent, UNWRITTEN);
}

#[test]
fn a_kept_descriptor_is_caught() {
    caught(two_readers(), Flaw::KeepDescriptor, DESCRIPTORS);
}

#[test]
fn a_lost_wake_up_is_caught() {
    caught(two_readers(), Flaw::WakeOne, ATTACHED);
    caught(two_readers(), Flaw::WakeOne, SERVED);
}

#[test]
fn a_silent_request_is_caught() {
    caught(two_readers(), Flaw::SilentEnqueue, SILENT);
}

#[test]
fn a_completion_by_another_object_is_caught() {
    caught(two_blobs(), Flaw::AnyObject, MISTAKEN);
}

#[test]
fn readers_that_do_not_merge_are_caught() {
    caught(two_readers(), Flaw::NoMerging, MERGED);
}

#[test]
fn a_killed_task_that_stays_is_caught() {
    caught(two_readers(), Flaw::KilledStays, ENDS);
}

#[test]
fn an_object_stuck_reopening_is_caught() {
    caught(two_readers(), Flaw::StuckReopening, OPENS);
    caught(two_readers(), Flaw::StuckReopening, SERVED);
}

#[test]
fn the_weak_points_of_linux_612_are_caught() {
    let linux = |setup: Setup| Setup {
        dialect: Dialect::Linux612,
        ..setup
    };
    breaks(linux(two_mounts()), SIGNALS);
    breaks(linux(two_readers()), POLL);
    breaks(linux(two_readers()), MERGED);
    breaks(linux(two_readers()), UNMOUNT);
}
