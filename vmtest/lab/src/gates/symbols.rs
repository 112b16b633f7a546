// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The symbol check: a Rust panic in the kernel is a BUG, so ondine.ko must not contain one.
//!
//! A panic that the compiler could not prove unreachable leaves an undefined reference to a
//! function of `core` that does not return. The check reads the linked module: only there are
//! inlined and generic functions of other crates included.

use std::fmt;

use crate::kconfig;

/// A reference to a function that panics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// The demangled name.
    pub function: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)
    }
}

/// Modules of `core` in which every function panics.
const MODULES: &[&str] = &["core::panicking::", "core::panic::"];

/// Ends of the names of functions that panic, such as
/// `core::slice::index::slice_start_index_len_fail`. They count only in [`SUFFIX_MODULES`].
const SUFFIXES: &[&str] = &[
    "_failed",
    "_fail",
    "_fail_rt",
    "panic_already_borrowed",
    "panic_already_mutably_borrowed",
];

/// Modules in which a function with one of [`SUFFIXES`] panics.
const SUFFIX_MODULES: &[&str] = &[
    "core::option::",
    "core::result::",
    "core::slice::",
    "core::str::",
    "core::cell::",
    "core::alloc::",
    "alloc::",
];

/// Entry points of the panic runtime, whose names are not mangled.
const NAMES: &[&str] = &["rust_begin_unwind", "rust_panic", "__rust_start_panic"];

/// Kernel options that add checks to every Rust module, and the functions that these checks call.
/// The calls are allowed only if the kernel's configuration has the option.
const CHECKS: &[(&str, &[&str])] = &[
    // Overflow checks, also in generic functions of `core` and of the kernel crate. There, such a
    // check keeps the compiler from proving that an index is in bounds (`KVec::from_elem`).
    (
        "CONFIG_RUST_OVERFLOW_CHECKS",
        &[
            "core::panicking::panic_const::",
            "core::panicking::panic_bounds_check",
        ],
    ),
    // `debug_assert!`, and the checks of `core` for the preconditions of its unsafe functions.
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

/// The functions that panic among the undefined symbols in `listing` (the output of
/// `nm --format=posix`), except those that the kernel configuration `config` asks for.
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
    // Covers both `<core::x::Y>::unwrap_failed` and `core::x::unwrap_failed`.
    let plain = name.trim_start_matches(['<', '&']);
    MODULES.iter().any(|module| plain.starts_with(module))
        || NAMES.contains(&plain)
        || (SUFFIX_MODULES.iter().any(|place| plain.starts_with(place))
            && SUFFIXES.iter().any(|end| plain.ends_with(end)))
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
