// SPDX-License-Identifier: GPL-2.0

//! Thresholds, against the rule of docs/spec/cachefiles-ondemand.md section 2.

use ondine_ondemand::limits::{Levels, Resource, Threshold};
use ondine_ondemand::{Errno, Limits};
use proptest::prelude::*;

const RESOURCES: [Resource; 2] = [Resource::Files, Resource::Blocks];
const THRESHOLDS: [Threshold; 3] = [Threshold::Stop, Threshold::Cull, Threshold::Run];

#[test]
fn the_defaults_are_7_5_1() {
    for resource in RESOURCES {
        assert_eq!(
            Limits::default().levels(resource),
            Levels {
                run: 7,
                cull: 5,
                stop: 1
            }
        );
    }
}

#[test]
fn each_neighbour_bounds_a_threshold() {
    for (threshold, least, most) in [
        (Threshold::Stop, 0, 4),
        (Threshold::Cull, 2, 6),
        (Threshold::Run, 6, 99),
    ] {
        for percent in 0..=u8::MAX {
            let set = Limits::default().set(Resource::Files, threshold, percent);
            let fits = (least..=most).contains(&percent);
            assert_eq!(
                set,
                fits.then_some(()).ok_or(Errno::EINVAL),
                "{threshold:?} {percent}"
            );
        }
    }
}

proptest! {
    #[test]
    fn changes_in_any_order(
        changes in proptest::collection::vec((0..2usize, 0..3usize, prop_oneof![0u8..12, any::<u8>()]), 0..40),
    ) {
        let mut limits = Limits::default();
        let mut model = [[1u8, 5, 7]; 2];
        for (resource, threshold, percent) in changes {
            let mut next = model[resource];
            next[threshold] = percent;
            let fits = next.is_sorted_by(|a, b| a < b) && next[2] < 100;
            let set = limits.set(RESOURCES[resource], THRESHOLDS[threshold], percent);
            if fits {
                model[resource] = next;
            }
            prop_assert_eq!(set, fits.then_some(()).ok_or(Errno::EINVAL));
            for (resource, [stop, cull, run]) in RESOURCES.into_iter().zip(model) {
                prop_assert_eq!(limits.levels(resource), Levels { run, cull, stop });
            }
        }
    }
}
