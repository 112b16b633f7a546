// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Generated trees and layouts, which must read back unchanged, and damaged images, which must not
//! hang or panic.

use ondine_model::generate::{corrupt, scenario};
use ondine_model::observation::{diff, Scope};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        // Beside this file: the default looks for a lib.rs or main.rs.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_tree_reads_back_from_its_image(scenario in scenario()) {
        let image = scenario.image().expect("a scenario can be written");
        let reader = image.open();
        prop_assert!(reader.is_ok(), "does not mount: {}", reader.err().expect("an error"));
        let seen = reader.expect("it is").observe();
        let differences = diff(&scenario.expected(), &seen, &Scope::all("the tree", "the model"));
        prop_assert!(differences.is_empty(), "{}", differences[0]);
    }

    #[test]
    fn a_damaged_image_never_hangs_or_panics(corrupted in corrupt()) {
        let (image, _descriptions) = corrupted.image().expect("a scenario can be written");
        if let Ok(reader) = image.open() {
            let options = ondine_model::observe::Options { paths: 400, bytes: 4 << 20, file_bytes: 1 << 20, ..Default::default() };
            let _ = reader.observe_with(&options);
        }
    }
}
