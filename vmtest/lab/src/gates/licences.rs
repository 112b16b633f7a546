// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The licence check: each tracked source file has an SPDX line among its first three lines, with
//! the licence of its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

/// File name extensions of source files. All of these formats have comments.
const ENDS: &[&str] = &[
    "rs", "c", "h", "S", "toml", "md", "sh", "py", "config", "yml", "yaml",
];

/// Names of source files without such an extension.
const NAMES: &[&str] = &["Kbuild", "Kconfig", "Makefile", "bindgen_parameters"];

/// The licence of all files below a folder. The first match counts.
const LICENCES: &[(&str, &str)] = &[("kmod", "GPL-2.0"), ("", "Apache-2.0 OR MIT")];

const MARK: &str = "SPDX-License-Identifier:";

/// Checks each source file that git tracks in `repo`. Each fault is one line of text.
///
/// # Errors
/// When git cannot list the files of `repo`, lists no source file, or a file cannot be read.
pub fn check(repo: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut seen = 0;
    for file in tracked(repo)? {
        let path = repo.join(&file);
        // Skips symbolic links, whose targets are checked themselves, and files whose deletion is
        // not committed yet.
        if !fs::symlink_metadata(&path).is_ok_and(|data| data.is_file()) {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if is_source(&file, &text) {
            seen += 1;
            faults.extend(fault(&file, &text));
        }
    }
    if seen == 0 {
        bail!("git tracks no source file in {}", repo.display());
    }
    Ok(faults)
}

fn tracked(repo: &Path) -> Result<Vec<PathBuf>> {
    let done = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(["ls-files", "-z"])
        .output()
        .context("starting git")?;
    if !done.status.success() {
        bail!(
            "git ls-files in {}: {}",
            repo.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    let names =
        String::from_utf8(done.stdout).context("git lists a file name that is not UTF-8")?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

/// True for scripts (`#!`) and for files with the name or extension of a source file.
fn is_source(file: &Path, text: &str) -> bool {
    let has = |list: &[&str], word: Option<&std::ffi::OsStr>| {
        word.and_then(|word| word.to_str())
            .is_some_and(|word| list.contains(&word))
    };
    text.starts_with("#!") || has(ENDS, file.extension()) || has(NAMES, file.file_name())
}

/// The fault of one file, if any. `file` is relative to the repository.
fn fault(file: &Path, text: &str) -> Option<String> {
    let (_, wanted) = LICENCES.iter().find(|(dir, _)| file.starts_with(dir))?;
    let line = text
        .lines()
        .take(3)
        .enumerate()
        .find_map(|(at, line)| Some((at + 1, line.split_once(MARK)?.1)));
    match line {
        None => Some(format!(
            "{}:1: no {MARK} {wanted} in the first three lines",
            file.display()
        )),
        Some((at, found)) => {
            let found = found.trim().trim_end_matches(['*', '/', '-', '>']).trim();
            (found != *wanted).then(|| {
                format!(
                    "{}:{at}: {MARK} {found}, where {wanted} is the licence",
                    file.display()
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_that_of_the_place() {
        let told = |file: &str, text: &str| fault(Path::new(file), text);
        let ours = "// SPDX-License-Identifier: Apache-2.0 OR MIT\n";
        let kernel = "// SPDX-License-Identifier: GPL-2.0\n";
        assert_eq!(told("model/src/lib.rs", ours), None);
        assert_eq!(told("kmod/src/main.rs", kernel), None);
        assert_eq!(
            told("kmod/a.h", "/* SPDX-License-Identifier: GPL-2.0 */\n"),
            None
        );
        assert_eq!(
            told("kmod/a.md", "<!-- SPDX-License-Identifier: GPL-2.0 -->\n"),
            None
        );
        assert_eq!(
            told(
                "ci/run.sh",
                "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0 OR MIT\n"
            ),
            None
        );
        assert!(told("model/src/lib.rs", kernel)
            .unwrap()
            .contains("lib.rs:1"));
        assert!(told("kmod/src/main.rs", ours).is_some());
        assert!(told("kmodern/a.rs", ours).is_none());
        assert!(told("a.rs", "fn f() {}\n").unwrap().contains("no SPDX"));
    }

    #[test]
    fn source_files_are_known_by_name_and_by_first_line() {
        assert!(is_source(Path::new("a/b.rs"), ""));
        assert!(is_source(Path::new("kmod/Kbuild"), ""));
        assert!(is_source(Path::new("ci/run"), "#!/bin/sh\n"));
        assert!(!is_source(Path::new("LICENSES/MIT.txt"), "MIT\n"));
        assert!(!is_source(Path::new("sample.json"), "{}\n"));
    }

    #[test]
    fn only_tracked_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).is_err());
        let git = |words: &[&str]| {
            let done = Command::new("git")
                .arg("-C")
                .arg(dir.path())
                .args(words)
                .output();
            assert!(done.unwrap().status.success(), "git {words:?}");
        };
        git(&["init", "--quiet"]);
        assert!(check(dir.path()).is_err(), "nothing is tracked");
        fs::write(dir.path().join("a.rs"), "fn f() {}\n").unwrap();
        fs::write(dir.path().join("b.rs"), "fn f() {}\n").unwrap();
        git(&["add", "a.rs"]);
        let found = check(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.rs:1: no SPDX"), "{found:?}");
    }
}
