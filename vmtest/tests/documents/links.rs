// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Links and paths of the documents lead to something.

use std::path::{Path, PathBuf};

use super::markdown::{headings, links, plain, quoted_paths, slug};
use super::tree::{files, require_none, top};

#[test]
fn every_link_leads_to_something() {
    let top = top();
    let all = files();
    let of_path = |path: &Path| all.iter().find(|file| Path::new(&file.path) == path);
    let mut faults = Vec::new();
    let mut checked = 0;
    for file in all.iter().filter(|file| file.ending() == "md") {
        let dir = Path::new(&file.path).parent().expect("a file's directory");
        for (at, target) in links(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() {
                PathBuf::from(&file.path)
            } else {
                plain(&dir.join(path))
            };
            if !top.join(&path).exists() {
                faults.push(file.fault(file.line(at), format!("no {}", path.display())));
            } else if !fragment.is_empty() {
                let there = of_path(&path)
                    .is_some_and(|file| headings(&file.text).any(|one| slug(one) == fragment));
                if !there {
                    let what = format!("{} has no heading #{fragment}", path.display());
                    faults.push(file.fault(file.line(at), what));
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} links");
    require_none("links lead nowhere", &faults);
}

#[test]
fn every_path_in_a_document_exists() {
    let top = top();
    let mut faults = Vec::new();
    let mut checked = 0;
    for file in files().iter().filter(|file| file.ending() == "md") {
        for (at, path) in quoted_paths(&file.text) {
            checked += 1;
            if !top.join(&path).exists() {
                faults.push(file.fault(file.line(at), format!("no {path}")));
            }
        }
    }
    assert!(checked > 50, "only {checked} paths");
    require_none("paths lead nowhere", &faults);
}
