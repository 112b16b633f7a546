// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated scripts with more tasks, pages and blobs than can be explored exhaustively.

use std::collections::BTreeSet;

use ondine_model::generate::script;
use ondine_model::protocol::{Dialect, Event, EventOutcome, Kernel};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

/// Runs a script. Asserts that every request is completed once, and that closing and killing
/// everything leaves no waiter.
fn run(mut kernel: Kernel, script: &[Event]) -> Vec<EventOutcome> {
    let mut seen = Vec::new();
    let mut pending = BTreeSet::new();
    let mut apply = |kernel: &mut Kernel, event| {
        let out = kernel.apply(event);
        for outcome in &out {
            match outcome {
                EventOutcome::Queued(id) => assert!(pending.insert(*id), "{id:?} is queued twice"),
                EventOutcome::Completed(id, _) => assert!(pending.remove(id), "{id:?} ends twice"),
                _ => {}
            }
        }
        seen.extend(out);
    };
    script.iter().for_each(|event| apply(&mut kernel, *event));

    apply(&mut kernel, Event::CloseDevice);
    let session = kernel.state().session.iter();
    let open: Vec<_> = session
        .flat_map(|session| session.descriptors.keys().copied())
        .collect();
    open.into_iter()
        .for_each(|object| apply(&mut kernel, Event::CloseDescriptor(object)));
    let inside: Vec<_> = kernel.state().waiters.keys().copied().collect();
    inside
        .into_iter()
        .for_each(|waiter| apply(&mut kernel, Event::Kill(waiter)));
    kernel.settle();
    assert!(pending.is_empty(), "{pending:?} never ended");
    assert!(kernel.state().waiters.is_empty() && kernel.state().session.is_none());
    seen
}

fn kernels() -> [Kernel; 4] {
    let of = |dialect| [Kernel::new(dialect), Kernel::with_last_message(dialect, 3)];
    let [[a, b], [c, d]] = [Dialect::Linux612, Dialect::Ondine].map(of);
    [a, b, c, d]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        // Beside this file: the default looks for a lib.rs or main.rs.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_script_ends_in_order(
        (kernel, script) in prop::sample::select(kernels().to_vec())
            .prop_flat_map(|kernel| (Just(kernel.clone()), script(kernel, 80)))
    ) {
        run(kernel, &script);
    }
}

#[test]
fn scripts_reach_every_kind_of_outcome() {
    let kernel = Kernel::new(Dialect::Ondine);
    let mut runner = TestRunner::deterministic();
    let (mut reads, mut shared, mut failures) = (0, 0, 0);
    for _ in 0..40 {
        let tree = script(kernel.clone(), 80)
            .new_tree(&mut runner)
            .expect("scripts exist");
        let script = tree.current();
        for outcome in script
            .iter()
            .scan(kernel.clone(), |kernel, event| Some(kernel.apply(*event)))
        {
            let woken = outcome
                .iter()
                .filter(|outcome| matches!(outcome, EventOutcome::Woken(_)));
            shared += usize::from(woken.count() > 1);
            reads += usize::from(
                outcome
                    .iter()
                    .any(|one| matches!(one, EventOutcome::Ended(_, Ok(())))),
            );
            failures += usize::from(
                outcome
                    .iter()
                    .any(|one| matches!(one, EventOutcome::Ended(_, Err(_)))),
            );
        }
    }
    assert!(
        reads > 40 && shared > 5 && failures > 20,
        "{reads} {shared} {failures}"
    );
}
