// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Long scripts over more tasks, pages and blobs than can be explored.

use std::collections::BTreeSet;

use ondine_model::generate::script;
use ondine_model::protocol::{Dialect, Event, Kernel, Outcome};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Runs a script; every request is completed once, and closing and killing everything leaves nothing.
fn run(mut kernel: Kernel, script: &[Event]) -> Vec<Outcome> {
    let mut seen = Vec::new();
    let mut pending = BTreeSet::new();
    let mut apply = |kernel: &mut Kernel, event| {
        let out = kernel.apply(event);
        for outcome in &out {
            match outcome {
                Outcome::Queued(id) => assert!(pending.insert(*id), "{id:?} is queued twice"),
                Outcome::Completed(id, _) => assert!(pending.remove(id), "{id:?} ends twice"),
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
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_script_ends_in_order(
        (kernel, script) in prop::sample::select(kernels().to_vec())
            .prop_flat_map(|kernel| (Just(kernel.clone()), script(kernel, 80)))
    ) {
        run(kernel, &script);
    }
}

#[test]
fn scripts_reach_what_matters() {
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
                .filter(|outcome| matches!(outcome, Outcome::Woken(_)));
            shared += usize::from(woken.count() > 1);
            reads += usize::from(
                outcome
                    .iter()
                    .any(|one| matches!(one, Outcome::Ended(_, Ok(())))),
            );
            failures += usize::from(
                outcome
                    .iter()
                    .any(|one| matches!(one, Outcome::Ended(_, Err(_)))),
            );
        }
    }
    assert!(
        reads > 40 && shared > 5 && failures > 20,
        "{reads} {shared} {failures}"
    );
}
