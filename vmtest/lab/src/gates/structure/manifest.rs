// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The manifests of the workspace's crates: targets, dependencies, inherited lints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{bail, Context, Result};
use toml::{Table, Value};

/// A member of the workspace. Paths are relative to the repository.
#[derive(Debug)]
pub(super) struct Package {
    /// The directory of the crate.
    pub(super) dir: PathBuf,
    /// The name by which Rust code imports its library.
    pub(super) library: String,
    /// Root files of its library and programs.
    pub(super) roots: Vec<PathBuf>,
    /// Members that it depends on outside of tests, each with its line in the manifest.
    pub(super) dependencies: Vec<(PathBuf, usize)>,
    /// True if the manifest has `[lints] workspace = true`.
    pub(super) inherits_lints: bool,
}

/// Reads the manifests of the members of the workspace at `repo`.
pub(super) fn packages(repo: &Path) -> Result<Vec<Package>> {
    let (top, _) = read(&repo.join("Cargo.toml"))?;
    let workspace = table(&top, "workspace").context("no [workspace] in Cargo.toml")?;
    let members: Vec<PathBuf> = workspace
        .get("members")
        .and_then(Value::as_array)
        .context("no members in [workspace]")?
        .iter()
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .collect();
    let mut shared = BTreeMap::new();
    if let Some(all) = table(workspace, "dependencies") {
        for (name, value) in all {
            if let Some(path) = value.get("path").and_then(Value::as_str) {
                shared.insert(name.clone(), PathBuf::from(path));
            }
        }
    }
    members
        .into_iter()
        .map(|dir| package(repo, dir, &shared))
        .collect()
}

fn package(repo: &Path, dir: PathBuf, shared: &BTreeMap<String, PathBuf>) -> Result<Package> {
    let file = repo.join(&dir).join("Cargo.toml");
    let (manifest, text) = read(&file)?;
    let name = table(&manifest, "package")
        .and_then(|package| package.get("name")?.as_str())
        .with_context(|| format!("no package name in {}", file.display()))?;
    let library = table(&manifest, "lib");
    let path = |target: Option<&Table>| Some(target?.get("path")?.as_str()?.to_owned());
    let mut roots = vec![path(library).unwrap_or_else(|| "src/lib.rs".to_owned())];
    roots.push("src/main.rs".to_owned());
    if let Some(programs) = manifest.get("bin").and_then(Value::as_array) {
        roots.extend(programs.iter().filter_map(|one| path(one.as_table())));
    }
    let mut roots: Vec<PathBuf> = roots.iter().map(|root| dir.join(root)).collect();
    roots.retain(|root| repo.join(root).exists());
    roots.sort();
    roots.dedup();
    if roots.is_empty() {
        bail!("{} has neither a library nor a program", file.display());
    }
    let library = library
        .and_then(|one| one.get("name")?.as_str())
        .unwrap_or(name)
        .replace('-', "_");
    let mut dependencies = Vec::new();
    for kind in dependency_tables(&manifest) {
        for (name, value) in kind {
            let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let target = match value.get("path").and_then(Value::as_str) {
                Some(path) => normal(&dir.join(path)),
                None if inherited => match shared.get(name) {
                    Some(path) => path.clone(),
                    None => continue,
                },
                None => continue,
            };
            dependencies.push((target, line_of(&text, name)));
        }
    }
    let inherits_lints = table(&manifest, "lints")
        .and_then(|lints| lints.get("workspace")?.as_bool())
        .unwrap_or(false);
    Ok(Package {
        dir,
        library,
        roots,
        dependencies,
        inherits_lints,
    })
}

/// The dependency tables of a manifest, without `dev-dependencies`.
fn dependency_tables(manifest: &Table) -> Vec<&Table> {
    const KINDS: [&str; 2] = ["dependencies", "build-dependencies"];
    let mut found: Vec<&Table> = KINDS.iter().filter_map(|k| table(manifest, k)).collect();
    if let Some(targets) = table(manifest, "target") {
        for target in targets.values().filter_map(Value::as_table) {
            found.extend(KINDS.iter().filter_map(|kind| table(target, kind)));
        }
    }
    found
}

fn read(file: &Path) -> Result<(Table, String)> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let table = text
        .parse::<Table>()
        .with_context(|| format!("parsing {}", file.display()))?;
    Ok((table, text))
}

fn table<'a>(parent: &'a Table, name: &str) -> Option<&'a Table> {
    parent.get(name)?.as_table()
}

/// The line, from 1, that begins with the key `name`.
fn line_of(text: &str, name: &str) -> usize {
    let at = text.lines().position(|line| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.']))
    });
    at.map_or(1, |at| at + 1)
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
