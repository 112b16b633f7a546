// SPDX-License-Identifier: Apache-2.0 OR MIT

//! First lines of doc comments.

use super::tree::{files, require_none};

/// First words of a doc comment that make a riddle of it.
const RIDDLES: &[&str] = &[
    "What", "Who", "Whoever", "Where", "How", "Whether", "Which", "Those", "One", "All of",
];

/// First lines of doc comments that begin with one of [`RIDDLES`], each with its line.
pub(super) fn riddles(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut before = "";
    for (n, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!"]
            .into_iter()
            .find(|marker| line.starts_with(marker))
            .unwrap_or_default();
        if !marker.is_empty() && marker != before {
            let opening = line[marker.len()..].trim_start();
            let is_riddle = RIDDLES.iter().any(|word| {
                let rest = opening.strip_prefix(word);
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
            });
            if is_riddle {
                found.push((n + 1, opening));
            }
        }
        before = marker;
    }
    found
}

#[test]
fn doc_comments_open_with_a_noun_or_a_verb() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| file.ending() == "rs") {
        for (line, opening) in riddles(&file.text) {
            faults.push(file.fault(line, opening));
        }
    }
    require_none("doc comments open as riddles", &faults);
}
