// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Citations of documents and of their sections.

use std::collections::BTreeSet;

/// Text behind a citation, on one line: without line ends, markers of comments and quotes.
pub(super) fn following(text: &str) -> String {
    let mut out = String::new();
    for (n, line) in text.lines().take(2).enumerate() {
        let line = line.trim_start();
        let line = if n == 0 {
            line
        } else {
            line.trim_start_matches(['/', '!', '#', '*'])
        };
        out.push_str(line);
        out.push(' ');
    }
    out.replace(['`', '"'], "")
}

/// The numbers of `section 1`, `sections 2.1 and 2.2`, `section 3 to 6`; none for other text.
pub(super) fn cited_sections(text: &str) -> Vec<String> {
    let text = text.trim_start_matches([',', ')', ']', ':', ' ']);
    let Some(rest) = text.strip_prefix("section") else {
        return Vec::new();
    };
    let mut rest = rest.strip_prefix('s').unwrap_or(rest).trim_start();
    let mut numbers = Vec::new();
    loop {
        let len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number = rest[..len].trim_end_matches('.');
        if number.is_empty() {
            return numbers;
        }
        numbers.push(number.to_owned());
        rest = &rest[number.len()..];
        let next = [", and ", ", ", " and ", " to ", " or "]
            .iter()
            .find_map(|between| rest.strip_prefix(between));
        match next {
            Some(next) => rest = next,
            None => return numbers,
        }
    }
}

/// Length of the path at the beginning of `text`.
pub(super) fn path_len(text: &str) -> usize {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let len = text.find(|c| !of_path(c)).unwrap_or(text.len());
    text[..len].trim_end_matches(['.', '-']).len()
}

/// True if the character before byte `at` belongs to a longer path or word.
pub(super) fn is_inside(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    before.is_some_and(|c| c.is_alphanumeric() || "_./-".contains(c))
}

/// Positions of `section N` that no document precedes.
pub(super) fn homeless_sections(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let lower = text.to_ascii_lowercase();
    for (at, word) in lower.match_indices("section") {
        let rest = lower[at + word.len()..].trim_start_matches('s');
        let numbered = rest
            .strip_prefix(' ')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !numbered || is_inside(&lower, at) {
            continue;
        }
        // The path may end the line above.
        let before =
            lower[..at].trim_end_matches(|c: char| c.is_whitespace() || "/!#*,`\"".contains(c));
        let standard = before
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .ends_with("rfc ");
        if !before.ends_with(".md") && !before.ends_with(".md)") && !standard {
            found.push(at);
        }
    }
    found
}

/// The document that a file's opening comment names, if it is one: its sections can be cited by number.
pub(super) fn home(text: &str) -> Option<&str> {
    let is_comment =
        |line: &&str| line.is_empty() || line.starts_with("//") || line.starts_with('#');
    let len = text
        .lines()
        .take_while(is_comment)
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let opening = &text[..len.min(text.len())];
    let named: BTreeSet<&str> = opening
        .match_indices("docs/spec/")
        .map(|(at, _)| &opening[at..at + path_len(&opening[at..])])
        .collect();
    named
        .into_iter()
        .next()
        .filter(|_| opening.matches(".md").count() == 1)
}

/// The numbers of the sections that a scenario covers: `6.1, 8 weak points: ...` covers 6.1 and 8.
pub(super) fn covered(line: &str) -> Option<Vec<String>> {
    let text = line.strip_prefix("covers = \"")?;
    let list = text.split([':', '"']).next().unwrap_or_default();
    let first = |item: &str| item.split_whitespace().next().map(str::to_owned);
    let numbers = list.split(',').filter_map(first);
    Some(
        numbers
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .collect(),
    )
}
