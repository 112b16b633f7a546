// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The structure check: no import circles between source files, no forbidden dependencies between
//! crates.
//!
//! File A imports file B if code of A, outside of tests, names an item that B defines, by `use` or
//! by path, directly or through a reexport (`pub use`). Three things do not count as imports: the
//! declaration of a module, a reexport of a submodule's names, and the use of an item of an
//! enclosing module. So a module and its own submodules never form a circle, but two modules whose
//! submodules use each other do. Method calls are not resolved: the source text alone does not tell
//! the receiver's type.
//!
//! | file | contents |
//! | --- | --- |
//! | [`manifest`] | the crates and their dependencies |
//! | [`modules`] | the modules of a crate and the names in them |
//! | [`mentions`] | the paths that an item mentions |
//! | [`resolve`] | the resolution of a path to the module that defines the item |
//! | [`circles`] | circles of a graph |

mod circles;
mod manifest;
mod mentions;
mod modules;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::manifest::Package;
use self::modules::Modules;
use super::files_below;

/// The root file of the module's glue crate. Kbuild builds it: it is not a workspace member.
const GLUE: &str = "kmod/src/main.rs";

/// For each crate the crates that it may depend on outside of tests. Crates without a row run on
/// the host and may depend on any.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kmod/erofs", &[]),
    ("kmod/ondemand", &[]),
    ("model", &[]),
    ("daemon", &[]),
    ("daemon/origin", &[]),
    // Part of the host program and of the guest program.
    ("vmtest/wire", &["model", "daemon"]),
    // The guest program.
    (
        "vmtest/agent",
        &[
            "vmtest/wire",
            "model",
            "kmod/erofs",
            "daemon",
            "daemon/origin",
        ],
    ),
];

/// Circles that stay: files whose types hold references to each other, which no order of files can undo.
/// A circle of exactly these files is no fault, and a row without its circle is one.
const INHERENT: &[&[&str]] = &[
    // The cache holds its objects, an object its deferred reads, a read its mount, and a mount the cache.
    &[
        "kmod/src/cache/cache.rs",
        "kmod/src/cache/deferred_read.rs",
        "kmod/src/cache/mount.rs",
        "kmod/src/cache/mount_list.rs",
        "kmod/src/cache/object.rs",
        "kmod/src/cache/registry.rs",
    ],
];

/// Checks the repository; each fault is a text of one line or more.
///
/// # Errors
/// When a manifest or a source file cannot be read or parsed.
pub fn check(repo: &Path) -> Result<Vec<String>> {
    let packages = manifest::packages(repo)?;
    let mut faults = Vec::new();
    for package in &packages {
        faults.extend(manifest_faults(package));
    }
    let mut modules = Modules::default();
    let mut sources = BTreeSet::new();
    let mut roots: Vec<(&Path, Option<&str>)> = Vec::new();
    for package in &packages {
        for root in &package.roots {
            let library = root.ends_with("lib.rs").then_some(package.library.as_str());
            roots.push((root, library));
        }
    }
    if repo.join(GLUE).exists() {
        roots.push((Path::new(GLUE), None));
    }
    for (root, library) in roots {
        let id = modules.read(repo, root)?;
        if let Some(library) = library {
            modules.libraries.insert(library.to_owned(), id);
        }
        let mut found = Vec::new();
        if let Some(dir) = root.parent() {
            files_below(&repo.join(dir), &mut found)?;
        }
        for file in found {
            sources.insert(file.strip_prefix(repo)?.to_owned());
        }
    }
    faults.extend(unreached(&modules, &sources));
    let edges = edges(&modules);
    let graph = edges.keys().copied().collect();
    let mut inherent: Vec<BTreeSet<&Path>> = INHERENT
        .iter()
        .map(|files| files.iter().map(Path::new).collect())
        .filter(|files: &BTreeSet<&Path>| files.iter().any(|file| repo.join(file).exists()))
        .collect();
    for circle in circles::circles(modules.files.len(), &graph) {
        let files = circle.iter().map(|file| modules.files[*file].as_path());
        let files: BTreeSet<&Path> = files.collect();
        match inherent.iter().position(|known| *known == files) {
            Some(at) => drop(inherent.swap_remove(at)),
            None => faults.push(describe(&modules, &edges, &circle)),
        }
    }
    faults.extend(
        inherent.iter().map(|files| {
            format!("{files:?} are no circle any more: remove their row from INHERENT")
        }),
    );
    Ok(faults)
}

/// The faults of one manifest: lints that are not inherited, and forbidden dependencies.
fn manifest_faults(package: &Package) -> Vec<String> {
    let file = package.dir.join("Cargo.toml");
    let file = file.display();
    let mut faults = Vec::new();
    if !package.inherits_lints {
        faults.push(format!(
            "{file}: the lints of the workspace are not inherited: add `workspace = true` to [lints]"
        ));
    }
    let row = MAY_USE
        .iter()
        .find(|(dir, _)| package.dir == Path::new(dir));
    let Some((dir, allowed)) = row else {
        return faults;
    };
    for (target, line) in &package.dependencies {
        if !allowed.iter().any(|one| target == Path::new(one)) {
            faults.push(format!(
                "{file}:{line}: {dir} may not depend on {}",
                target.display()
            ));
        }
    }
    faults
}

/// A fault for each Rust file that no crate compiles, and that is therefore not checked.
fn unreached(modules: &Modules, sources: &BTreeSet<PathBuf>) -> Vec<String> {
    let known: BTreeSet<&PathBuf> = modules.files.iter().collect();
    sources
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "rs"))
        .filter(|file| !known.contains(file))
        .filter(|file| !modules.tests.iter().any(|test| file.starts_with(test)))
        .map(|file| format!("{}: no crate compiles this file", file.display()))
        .collect()
}

/// The names that one file imports from another, each with the first line that mentions it.
type Names = BTreeMap<String, usize>;

/// The imports between two files, by the files' numbers.
fn edges(modules: &Modules) -> BTreeMap<(usize, usize), Names> {
    let mut edges: BTreeMap<(usize, usize), Names> = BTreeMap::new();
    for (id, module) in modules.all.iter().enumerate() {
        for mention in &module.mentions {
            for target in modules.defining(id, &mention.path) {
                let (from, to) = (module.file, modules.all[target].file);
                let above = modules.is_within(id, target);
                let facade = mention.handed_on && modules.is_within(target, id);
                if from == to || above || facade {
                    continue;
                }
                let names = edges.entry((from, to)).or_default();
                let line = names.entry(mention.path.join("::")).or_insert(mention.line);
                *line = mention.line.min(*line);
            }
        }
    }
    edges
}

/// The text of the fault: every import of the circle, with the line of its first mention.
fn describe(
    modules: &Modules,
    edges: &BTreeMap<(usize, usize), Names>,
    circle: &[usize],
) -> String {
    let mut text = format!("{} files import each other in a circle:", circle.len());
    for (&(from, to), names) in edges {
        if !circle.contains(&from) || !circle.contains(&to) {
            continue;
        }
        let line = names.values().min().unwrap_or(&1);
        let mut list: Vec<&str> = names.keys().map(String::as_str).take(5).collect();
        if names.len() > list.len() {
            list.push("..");
        }
        let _ = write!(
            text,
            "\n    {}:{line} -> {}: {}",
            modules.files[from].display(),
            modules.files[to].display(),
            list.join(", ")
        );
    }
    text
}
