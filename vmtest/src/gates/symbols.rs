// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The symbol check: in the kernel a Rust panic is a BUG, so none may be linked.
//!
//! A panic path that the compiler could not prove dead leaves an undefined reference to one of
//! core's functions that do not return. They are found in the linked module, since the compiler
//! emits small functions where they are used, not where they are written.

use std::fmt;

use crate::provision::kconfig;

/// A reference to a function that panics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// Demangled.
    pub function: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)
    }
}

/// Whole modules of core whose every function ends in a panic.
const MODULES: &[&str] = &["core::panicking::", "core::panic::"];

/// Functions by their last word: `core::slice::index::slice_start_index_len_fail` and its like.
const ENDINGS: &[&str] = &[
    "_failed",
    "_fail",
    "_fail_rt",
    "panic_already_borrowed",
    "panic_already_mutably_borrowed",
];

/// Where such an ending means a panic.
const PLACES: &[&str] = &[
    "core::option::",
    "core::result::",
    "core::slice::",
    "core::str::",
    "core::cell::",
    "core::alloc::",
    "alloc::",
];

/// Entry points that are called by their own name.
const NAMES: &[&str] = &["rust_begin_unwind", "rust_panic", "__rust_start_panic"];

/// What a test kernel adds to every module by asking for checks: the option, and what its checks
/// call. A kernel without the option has none of these, and there they are faults like any other.
const CHECKS: &[(&str, &[&str])] = &[
    // Arithmetic that would wrap, in core's and the kernel crate's generics too. In those, a check
    // for overflow also hides from the compiler that an index is in bounds (`KVec::from_elem`).
    (
        "CONFIG_RUST_OVERFLOW_CHECKS",
        &[
            "core::panicking::panic_const::",
            "core::panicking::panic_bounds_check",
        ],
    ),
    // `debug_assert!`, and core's checks of the preconditions of its unsafe functions.
    (
        "CONFIG_RUST_DEBUG_ASSERTIONS",
        &[
            "core::panicking::panic",
            "core::panicking::panic_fmt",
            "core::panicking::panic_nounwind",
            "core::panicking::panic_nounwind_fmt",
            "core::panicking::panic_null_pointer_dereference",
            "core::panicking::panic_misaligned_pointer_dereference",
        ],
    ),
];

/// The panicking functions among the undefined symbols that `nm --format=posix` lists, but for
/// those that the kernel's configuration `config` asked for.
pub fn panics(listing: &str, config: &str) -> Vec<Panic> {
    let options = kconfig::parse(config);
    let asked_for = |name: &str| {
        CHECKS.iter().any(|(option, calls)| {
            options.get(*option).is_some_and(|value| value == "y")
                && calls.iter().any(|call| match call.ends_with("::") {
                    true => name.starts_with(call),
                    false => name == *call,
                })
        })
    };
    let mut found: Vec<Panic> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)))
        .filter(|name| is_panic(name) && !asked_for(name))
        .map(|function| Panic { function })
        .collect();
    found.sort_by(|a, b| a.function.cmp(&b.function));
    found.dedup();
    found
}

fn is_panic(name: &str) -> bool {
    // `<core::x::Y>::unwrap_failed` and `core::x::unwrap_failed` alike.
    let plain = name.trim_start_matches(['<', '&']);
    MODULES.iter().any(|module| plain.starts_with(module))
        || NAMES.contains(&plain)
        || (PLACES.iter().any(|place| plain.starts_with(place))
            && ENDINGS.iter().any(|end| plain.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_functions_are_no_panics() {
        let listing = "iput U         \nkfree U\n_RNvNtCs1234_4core3fmt5write U\nfilemap_fail U\n";
        assert_eq!(panics(listing, ""), []);
    }

    #[test]
    fn each_kind_of_panic_is_named_once() {
        let listing = "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE U 0 0\n\
                       _ZN4core9panicking18panic_bounds_check17h0123456789abcdefE U 0 0\n\
                       _ZN4core6option13unwrap_failed17h0123456789abcdefE U\n\
                       _ZN4core6result13unwrap_failed17h0123456789abcdefE U\n\
                       _ZN4core5slice5index26slice_start_index_len_fail17h0123456789abcdefE U\n\
                       _ZN4core3str16slice_error_fail17h0123456789abcdefE U\n\
                       rust_begin_unwind U\n";
        let names: Vec<String> = panics(listing, "")
            .into_iter()
            .map(|one| one.function)
            .collect();
        assert_eq!(
            names,
            [
                "core::option::unwrap_failed",
                "core::panicking::panic_bounds_check",
                "core::result::unwrap_failed",
                "core::slice::index::slice_start_index_len_fail",
                "core::str::slice_error_fail",
                "rust_begin_unwind",
            ]
        );
    }

    #[test]
    fn the_v0_mangling_is_read_too() {
        let listing = "_RNvNtCsabc_4core9panicking5panic U\n_RNvNtNtCsabc_4core5slice5index16slice_index_fail U\n";
        assert_eq!(panics(listing, "").len(), 2, "{:?}", panics(listing, ""));
    }

    #[test]
    fn what_a_test_kernel_asked_for_is_allowed_there_alone() {
        let listing = "_ZN4core9panicking14panic_nounwind17h0123456789abcdefE U\n\
                       _ZN4core9panicking11panic_const24panic_const_add_overflow17h0123456789abcdefE U\n\
                       _ZN4core6option13unwrap_failed17h0123456789abcdefE U\n";
        assert_eq!(panics(listing, "").len(), 3);
        assert_eq!(panics(listing, "CONFIG_RUST_OVERFLOW_CHECKS=y\n").len(), 2);
        let both = "CONFIG_RUST_OVERFLOW_CHECKS=y\nCONFIG_RUST_DEBUG_ASSERTIONS=y\n";
        let left = panics(listing, both);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].function, "core::option::unwrap_failed");
    }
}
