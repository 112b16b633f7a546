// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The text files of the repository, and the faults that are found in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of files that are read.
const READ: &[&str] = &["rs", "c", "h", "toml", "md"];
/// Directories whose texts are not the repository's own: builds, licences, samples of other parties.
const SKIPPED: &[&str] = &["target", "out", "LICENSES", "model/tests/samples"];
/// This test, which spells out what it looks for.
const HERE: &str = "vmtest/tests/documents";

/// A text file of the repository.
pub(super) struct Text {
    /// Path below the top directory, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Text {
    /// True for the files of this test.
    pub(super) fn is_here(&self) -> bool {
        self.path.starts_with(HERE)
    }

    pub(super) fn ending(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// Number of the line that holds byte `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    pub(super) fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }
}

/// A place that does not hold.
pub(super) struct Fault {
    path: String,
    line: usize,
    what: String,
}

pub(super) fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a repository").to_owned()
}

/// All text files, but for hidden directories and [`SKIPPED`].
pub(super) fn files() -> Vec<Text> {
    fn walk(top: &Path, dir: &Path, found: &mut Vec<Text>) {
        for entry in fs::read_dir(dir).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(top).expect("a path below the top");
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let skipped = |one: &&str| Path::new(one) == below || *one == name;
            if name.starts_with('.') || SKIPPED.iter().any(skipped) {
                continue;
            }
            if path.is_dir() {
                walk(top, &path, found);
            } else if path
                .extension()
                .is_some_and(|end| READ.iter().any(|read| end == *read))
            {
                found.push(Text {
                    path: below.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path).expect("a text file"),
                });
            }
        }
    }
    let top = top();
    let mut found = Vec::new();
    walk(&top, &top, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 300, "only {} files", found.len());
    found
}

/// Fails with all faults, and their number in each folder.
pub(super) fn require_none(what: &str, faults: &[Fault]) {
    let mut folders = BTreeMap::<&str, usize>::new();
    let mut listing = String::new();
    for fault in faults {
        let folder = fault.path.rsplit_once('/').map_or(".", |(dir, _)| dir);
        *folders.entry(folder).or_default() += 1;
        let _ = writeln!(listing, "  {}:{}: {}", fault.path, fault.line, fault.what);
    }
    let mut counts = String::new();
    for (folder, count) in folders {
        let _ = writeln!(counts, "  {count:5} {folder}");
    }
    assert!(
        faults.is_empty(),
        "{} {what}\n{listing}by folder:\n{counts}",
        faults.len()
    );
}
