// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The default input tree: a Debian minbase root, from the mirror that this machine uses.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Result};
use xshell::{cmd, Shell};

use super::special_files;
use crate::cache::{Cache, Key};
use crate::step::Step;

/// The Debian release of the tree, the same on every machine.
const SUITE: &str = "bookworm";
/// Time stamp of the files that the bootstrap itself writes (the day of the release), so that two
/// trees are equal.
const EPOCH: &str = "1686355200";

/// The root tree for images: Debian's files and those of [`special_files`]. Builds it if it is not
/// in the cache.
///
/// # Errors
/// When the bootstrap or the unpacking fails: no network, not root, no space.
pub fn tree(cache: &Cache) -> Result<PathBuf> {
    let archive = archive(cache)?;
    let key = Key::new()
        .add("tree 1")
        .add(archive.as_os_str().as_encoded_bytes())
        .add(special_files::VERSION);
    let entry = cache.step("tree", &key, |draft| {
        let root = draft.join("root");
        fs::create_dir(&root)?;
        let step = Step::begin(cache, "tree", "unpacking the root tree")?;
        let shell = Shell::new()?;
        step.run(
            cmd!(
                shell,
                "tar --extract --preserve-permissions --numeric-owner --xattrs"
            )
            .arg("--xattrs-include=*")
            .arg("--file")
            .arg(archive.join("root.tar"))
            .arg("--directory")
            .arg(&root),
        )?;
        special_files::add(&root)
    })?;
    Ok(entry.join("root"))
}

fn archive(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new().add("minbase 1").add(SUITE).add(EPOCH);
    cache.step("minbase", &key, |draft| {
        let step = Step::begin(
            cache,
            "minbase",
            format!("bootstrapping Debian {SUITE} (minbase)"),
        )?;
        let shell = Shell::new()?;
        let list = draft.join("sources.list");
        fs::write(&list, sources(Path::new("/etc/apt"), SUITE)?)?;
        let root = draft.join("root.tar");
        step.run(
            cmd!(shell, "mmdebstrap --quiet --variant=minbase --mode=root")
                .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
                .arg(SUITE)
                .arg(&root)
                .arg(&list)
                .env("SOURCE_DATE_EPOCH", EPOCH),
        )
    })
}

/// The entries for `suite` of the apt configuration in `etc`, in the one-line form.
fn sources(etc: &Path, suite: &str) -> Result<String> {
    let mut texts = Vec::new();
    let parts = fs::read_dir(etc.join("sources.list.d"))
        .into_iter()
        .flatten();
    for path in parts
        .flatten()
        .map(|e| e.path())
        .chain([etc.join("sources.list")])
    {
        match path.extension().and_then(|e| e.to_str()) {
            Some("sources") => texts.push(stanzas(&fs::read_to_string(&path)?, suite)),
            Some("list") if path.exists() => texts.push(lines(&fs::read_to_string(&path)?, suite)),
            _ => {}
        }
    }
    let found = texts.concat();
    if found.is_empty() {
        bail!(
            "{} has no source for {suite}: add the mirror's `deb` line for it",
            etc.display()
        );
    }
    Ok(found)
}

/// The entries of a file in the deb822 form.
fn stanzas(text: &str, suite: &str) -> String {
    let mut out = String::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .filter(|l| !l.starts_with('#'))
                .find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name)
                        .then(|| value.trim().to_owned())
                })
        };
        let has = |name: &str, word: &str| {
            field(name).is_some_and(|v| v.split_whitespace().any(|w| w == word))
        };
        let off = field("Enabled").is_some_and(|v| v == "no");
        if off || !has("Types", "deb") || !has("Suites", suite) || !has("Components", "main") {
            continue;
        }
        let signed = match field("Signed-By").filter(|v| v.starts_with('/')) {
            Some(ring) => format!("[signed-by={ring}] "),
            None => String::new(),
        };
        for uri in field("URIs").unwrap_or_default().split_whitespace() {
            out.push_str(&format!("deb {signed}{uri} {suite} main\n"));
        }
    }
    out
}

/// The entries of a file in the one-line form.
fn lines(text: &str, suite: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(place) = words.iter().position(|w| *w == suite) else {
            continue;
        };
        if words[0] == "deb" && words[place..].contains(&"main") {
            out.push_str(&format!("{} main\n", words[..=place].join(" ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_apt_sources_are_understood() {
        let modern = "Types: deb deb-src\n# a comment: x\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://m.example/security\nSuites: bookworm-security\nComponents: main\n";
        assert_eq!(
            stanzas(modern, "bookworm"),
            "deb [signed-by=/k.gpg] http://m.example/debian bookworm main\n"
        );
        let old = "# deb http://no.example/ bookworm main\ndeb [arch=amd64] http://m.example/debian bookworm main non-free\ndeb http://m.example/debian sid main\n";
        assert_eq!(
            lines(old, "bookworm"),
            "deb [arch=amd64] http://m.example/debian bookworm main\n"
        );
    }
}
