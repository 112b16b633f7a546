// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Citations in code and documents are of what the repository has.

use super::citation::{
    cited_sections, covered, following, home, homeless_sections, is_inside, path_len,
};
use super::markdown::sections;
use super::tree::{files, require_none, top};

/// Endings of files whose mentions of a section must name the document.
const CODE: &[&str] = &["rs", "c", "h", "toml"];
/// Phrases that cite what a reader of the repository cannot open.
const OUTSIDE: &[&str] = &[
    "improvement (",
    "improvements (",
    "design rule",
    "../shared",
    "the issue",
    "the survey",
    "rule 5",
    "rule 6",
    "rule 7",
];

#[test]
fn every_cited_document_and_section_exists() {
    let top = top();
    let all = files();
    let mut faults = Vec::new();
    let mut checked = 0;
    for file in all.iter().filter(|file| !file.is_here()) {
        for (at, _) in file.text.match_indices("docs/") {
            if is_inside(&file.text, at) {
                continue;
            }
            checked += 1;
            let rest = &file.text[at..];
            let len = path_len(rest);
            let path = &rest[..len];
            let line = file.line(at);
            if !top.join(path).exists() {
                faults.push(file.fault(line, format!("no {path}")));
                continue;
            }
            let cited = cited_sections(&following(&rest[len..]));
            if cited.is_empty() {
                continue;
            }
            let document = all.iter().find(|one| one.path == path);
            let known = document.map(|one| sections(&one.text)).unwrap_or_default();
            for number in cited.iter().filter(|number| !known.contains(*number)) {
                faults.push(file.fault(line, format!("{path} has no section {number}")));
            }
        }
    }
    assert!(checked > 20, "only {checked} citations");
    require_none("citations of what is not there", &faults);
}

#[test]
fn nothing_outside_of_the_repository_is_cited() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| !file.is_here()) {
        for phrase in OUTSIDE {
            for (at, _) in file.text.match_indices(phrase) {
                faults.push(file.fault(file.line(at), format!("`{phrase}`")));
            }
        }
        for (at, _) in file.text.match_indices("spec/") {
            let before = &file.text[..at];
            let linked =
                file.ending() == "md" && (before.ends_with('(') || before.ends_with("../"));
            if !before.ends_with("docs/") && !before.ends_with('-') && !linked {
                faults.push(file.fault(file.line(at), "`spec/` outside of docs/"));
            }
        }
    }
    require_none("citations of what a reader cannot open", &faults);
}

#[test]
fn every_section_in_code_is_of_a_known_document() {
    let all = files();
    let mut faults = Vec::new();
    for file in all.iter().filter(|file| !file.is_here()) {
        if !CODE.contains(&file.ending()) {
            continue;
        }
        let home = home(&file.text).and_then(|path| all.iter().find(|one| one.path == path));
        let known = home.map(|home| sections(&home.text));
        for at in homeless_sections(&file.text) {
            let line = file.line(at);
            let cited = cited_sections(&following(&file.text[at..]).to_lowercase());
            match &known {
                None => {
                    let text = file.text.lines().nth(line - 1).unwrap_or_default();
                    faults.push(file.fault(line, text.trim()));
                }
                Some(known) => {
                    for number in cited.iter().filter(|number| !known.contains(*number)) {
                        faults.push(file.fault(line, format!("there is no section {number}")));
                    }
                }
            }
        }
    }
    require_none("sections of no document", &faults);
}

#[test]
fn every_scenario_covers_a_section_that_exists() {
    let all = files();
    let protocol = "docs/spec/cachefiles-ondemand.md";
    let document = all.iter().find(|file| file.path == protocol);
    let known = sections(&document.expect("the protocol's specification").text);
    let mut faults = Vec::new();
    let mut checked = 0;
    let scenarios = all
        .iter()
        .filter(|file| file.path.starts_with("vmtest/conform/") && file.ending() == "toml");
    for file in scenarios {
        for (n, line) in file.text.lines().enumerate() {
            let Some(numbers) = covered(line) else {
                continue;
            };
            checked += 1;
            if numbers.is_empty() || numbers.iter().any(|number| !known.contains(number)) {
                faults.push(file.fault(n + 1, line));
            }
        }
    }
    assert!(checked > 100, "only {checked} scenarios");
    require_none("scenarios cover no section of the protocol", &faults);
}
