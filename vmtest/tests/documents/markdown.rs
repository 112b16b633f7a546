// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Parts of Markdown: links, headings, paths.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The text with code blanked out, so that positions stay.
pub(super) fn without_code(text: &str) -> String {
    let blank = |line: &str| " ".repeat(line.len());
    let mut fenced = false;
    let mut after_text = false;
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        let fence = bare.trim_start().starts_with("```");
        let indented = bare.starts_with("    ") && !after_text;
        if fence || fenced || indented {
            out.push_str(&blank(bare));
        } else {
            let mut code = false;
            for part in bare.split('`') {
                if code {
                    out.push_str(&blank(part));
                } else {
                    out.push_str(part);
                }
                out.push(' ');
                code = !code;
            }
            out.pop();
        }
        if line.ends_with('\n') {
            out.push('\n');
        }
        fenced ^= fence;
        after_text = !bare.trim().is_empty() && !indented;
    }
    out
}

/// Targets of `[text](target)`, each with its position.
pub(super) fn links(text: &str) -> Vec<(usize, String)> {
    let text = without_code(text);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("](") {
        let begin = at + 2;
        if let Some(len) = text[begin..].find(')') {
            let target = &text[begin..begin + len];
            found.push((begin, target.split_whitespace().collect()));
        }
    }
    found
}

/// The fragment by which a heading is linked to.
pub(super) fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

pub(super) fn headings(text: &str) -> impl Iterator<Item = &str> {
    let heading = |line: &'_ str| line.starts_with('#');
    text.lines()
        .filter(move |line| heading(line))
        .map(|line| line.trim_start_matches('#').trim())
}

/// Numbers of the sections of a document.
pub(super) fn sections(text: &str) -> BTreeSet<String> {
    let first = |heading: &str| heading.split(' ').next().unwrap_or_default().to_owned();
    let number = |word: String| word.trim_end_matches('.').to_owned();
    headings(text)
        .map(first)
        .map(number)
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// The path without `.` and `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// Top directories whose paths documents may name.
const TOPS: &[&str] = &[
    "kmod/",
    "model/",
    "daemon/",
    "vmtest/",
    "docs/",
    "LICENSES/",
    ".ci/",
];

/// All paths that `kmod/src/{a,b}.rs` stands for.
fn alternatives(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (choices, after) = rest.split_once('}').unwrap_or((rest, ""));
    let all = choices
        .split(',')
        .flat_map(|one| alternatives(&format!("{before}{one}{after}")));
    all.collect()
}

/// Paths between backticks, each with its position. `*` stands for any name, and is not looked up.
pub(super) fn quoted_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for (n, part) in text.split('`').enumerate() {
        let is_path =
            TOPS.iter().any(|top| part.starts_with(top)) && !part.contains([' ', '*', '\n']);
        if n % 2 == 1 && is_path {
            let all = alternatives(part).into_iter();
            found.extend(all.map(|path| (at, path)));
        }
        at += part.len() + 1;
    }
    found
}
