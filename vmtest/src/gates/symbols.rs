// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The symbol check: in the kernel a Rust panic is a BUG, so none may be linked.
//!
//! A panic path that the compiler could not prove dead leaves an undefined reference to one of
//! core's functions that do not return. They are found in the linked module, since the compiler
//! emits small functions where they are used, not where they are written.

use std::fmt;

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

/// What a kernel with RUST_DEBUG_ASSERTIONS links into every module: core's own checks of the
/// preconditions of unsafe functions. They guard `unsafe` code, they are not ours to remove.
const ALLOWED: &[&str] = &[
    "core::panicking::panic_nounwind",
    "core::panicking::panic_nounwind_fmt",
    "core::panicking::panic_nounwind_nobacktrace",
];

/// The panicking functions among the undefined symbols that `nm --format=posix` lists.
pub fn panics(listing: &str) -> Vec<Panic> {
    let mut found: Vec<Panic> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)))
        .filter(|name| is_panic(name))
        .map(|function| Panic { function })
        .collect();
    found.sort_by(|a, b| a.function.cmp(&b.function));
    found.dedup();
    found
}

fn is_panic(name: &str) -> bool {
    if ALLOWED.contains(&name) {
        return false;
    }
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
        assert_eq!(panics(listing), []);
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
        let names: Vec<String> = panics(listing)
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
        assert_eq!(panics(listing).len(), 2, "{:?}", panics(listing));
    }

    #[test]
    fn cores_own_checks_are_allowed() {
        assert!(panics("_ZN4core9panicking14panic_nounwind17h0123456789abcdefE U\n").is_empty());
    }
}
