// SPDX-License-Identifier: Apache-2.0 OR MIT

//! References of the conformance scenarios to the specification: each section and CVE in `covers` or
//! in a `reason` exists in `docs/spec/cachefiles-ondemand.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

fn conform() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conform")
}

fn specification() -> String {
    let path = conform().join("../../docs/spec/cachefiles-ondemand.md");
    fs::read_to_string(path).unwrap()
}

/// The numbers of the sections, as in `## 6. Title` and `### 6.3 Title`.
fn sections(specification: &str) -> BTreeSet<&str> {
    specification
        .lines()
        .filter(|line| line.starts_with("## ") || line.starts_with("### "))
        .filter_map(|line| line.split(' ').nth(1))
        .map(|number| number.trim_end_matches('.'))
        .collect()
}

/// The values of `key` in all tables of the array `tables` of `file`.
fn strings(file: &Path, tables: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let table: Table = text.parse().unwrap();
    let rows = table.get(tables).and_then(Value::as_array);
    rows.into_iter()
        .flatten()
        .map(|row| row[key].as_str().unwrap().to_owned())
        .collect()
}

/// The words of `text` that name a CVE.
fn cves(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ':'])
        .filter(|word| word.starts_with("CVE-"))
}

#[test]
fn scenarios_cover_sections_of_the_specification() {
    let specification = specification();
    let sections = sections(&specification);
    let mut scenarios = 0;
    for entry in fs::read_dir(conform()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        for covers in strings(&file, "scenario", "covers") {
            let (references, _) = covers
                .split_once(": ")
                .unwrap_or_else(|| panic!("{covers:?} does not begin with sections and a colon"));
            for reference in references.split(", ") {
                let number = reference.split(' ').next().unwrap();
                assert!(
                    sections.contains(number) || number.starts_with("CVE-"),
                    "{covers:?} names {number:?}, which is no section of the specification"
                );
            }
            for cve in cves(references) {
                assert!(specification.contains(cve), "{cve} of {covers:?}");
            }
            scenarios += 1;
        }
    }
    assert!(scenarios > 150, "only {scenarios} scenarios were found");
}

#[test]
fn reasons_name_sections_of_the_specification() {
    let specification = specification();
    let sections = sections(&specification);
    let mut references = 0;
    for reason in strings(&conform().join("differences.toml"), "difference", "reason") {
        let mut words = reason
            .split([' ', ':', ','])
            .filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if !matches!(word, "section" | "sections") {
                continue;
            }
            let numbers = words
                .by_ref()
                .take_while(|w| *w == "and" || w.starts_with(|c: char| c.is_ascii_digit()));
            for number in numbers.filter(|word| *word != "and") {
                assert!(
                    sections.contains(number),
                    "{reason:?} names {number:?}, which is no section of the specification"
                );
                references += 1;
            }
        }
    }
    assert!(references > 30, "only {references} references were found");
}
