// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Tests on images from mkfs.erofs 1.9 or later.
//!
//! Without that program they are reported as `ignored`, with the reason: the built-in test harness decides at
//! compile time which tests it runs, so this target brings its own.

mod damaged;
mod generated;
mod program;
mod reading;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Reason why a test cannot run here.
type Missing = Option<String>;

/// A test that is ignored when `missing` names a reason.
fn trial(name: &str, missing: &Missing, test: fn()) -> Trial {
    let missing = missing.clone();
    Trial::ignorable_test(name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            test();
            Ok::<_, Failed>(Completion::Completed)
        }
    })
}

/// Trials of the functions at these paths, each named by its path.
macro_rules! trials {
    ($missing:expr, $($module:ident :: { $($test:ident),+ $(,)? })+) => {
        vec![$($(trial(
            concat!(stringify!($module), "::", stringify!($test)),
            $missing,
            $module::$test,
        )),+),+]
    };
}

fn main() -> ExitCode {
    let missing = program::find().err();
    let mut trials = trials! { &missing,
        reading::{
            every_uncompressed_shape_reads_as_its_source,
            the_layouts_that_were_asked_for_are_the_ones_that_were_read,
            extended_and_compact_inodes_hold_the_same_but_for_their_width,
            a_blob_reads_alike_as_a_device_and_not_at_all_when_it_is_missing,
            a_compressed_image_mounts_and_its_compressed_files_alone_fail,
            lookup_finds_exactly_what_readdir_lists,
            a_changed_byte_under_the_checksum_refuses_the_mount,
            an_index_of_a_tar_archive_is_sound,
        }
        damaged::{every_operation_on_a_damaged_image_ends}
    };
    let missing = missing.or_else(generated::missing);
    trials.extend(trials! { &missing,
        generated::{a_tree_reads_back_from_the_image_of_mkfs}
    });
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
