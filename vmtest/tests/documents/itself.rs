// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The checks see what they are for.

use super::citation::{cited_sections, covered, following, home, homeless_sections};
use super::comment::riddles;
use super::markdown::{links, quoted_paths, sections, slug};

#[test]
fn links_are_found_outside_of_code() {
    let text = "# A `b`, c\n[x](y.md#z) `[no](no)`\n\n    [no](no)\n";
    let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets, ["y.md#z"]);
    assert_eq!(slug("A `b`, c"), "a-b-c");
}

#[test]
fn paths_between_backticks_are_found() {
    let paths = quoted_paths("`kmod/{a,b}.rs` kmod/c `d/e` `kmod/* f`");
    let paths: Vec<String> = paths.into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["kmod/a.rs", "kmod/b.rs"]);
}

#[test]
fn sections_are_found_with_their_document() {
    let numbers = sections("## 1. One\n### 2.3 Two\n## Three\n");
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), ["1", "2.3"]);
    let cited = |text: &str| cited_sections(&following(text));
    assert_eq!(cited("` section 6.3."), ["6.3"]);
    let several = cited(",\n//! sections 1, 2.1 and 3 to 5");
    assert_eq!(several, ["1", "2.1", "3", "5"]);
    assert!(cited(" is about sections").is_empty());
    let homeless = homeless_sections("RFC 9 section 1, docs/spec/a.md\n/// section 1, Section 2");
    assert_eq!(homeless.len(), 1);
    let one = "//! docs/spec/a.md, in short.\nfn docs/spec/b.md";
    assert_eq!(home(one), Some("docs/spec/a.md"));
    assert_eq!(home("//! docs/spec/a.md\n//! docs/spec/b.md\n"), None);
    let numbers = covered("covers = \"6.1, 8 weak points: x, 7\"").unwrap();
    assert_eq!(numbers, ["6.1", "8"]);
    assert!(covered("covers = \"(g): x\"").unwrap().is_empty());
}

#[test]
fn riddles_are_found_in_first_lines_alone() {
    let text = "/// What it is.\n/// Which is no opening.\n\n/// Whatever.\n//! All of them.\n";
    let lines: Vec<usize> = riddles(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 5]);
}
