// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The modules of a crate: the tree of `mod` items, the names in each module, and the paths that its
//! code mentions. Items under `#[cfg(test)]` are left out.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use syn::{Item, UseTree, Visibility};

use super::mentions::{self, under_test, Mention};

/// The number of a module in [`Modules`].
pub(super) type Id = usize;

/// The meaning of a name in a module.
#[derive(Debug)]
pub(super) enum Name {
    /// An item that is defined in the module.
    Defined,
    /// A module below it.
    Module(Id),
    /// An import or reexport of the item or module with this path.
    Import(Vec<String>),
}

/// A module: a file, or a `mod` block in a file.
#[derive(Debug)]
pub(super) struct Module {
    /// The enclosing module; `None` for the root of a crate.
    pub(super) parent: Option<Id>,
    /// The number of its file in [`Modules::files`].
    pub(super) file: usize,
    /// The names in the module. A name may have several meanings, such as a module and a function.
    pub(super) names: HashMap<String, Vec<Name>>,
    /// The paths of `use path::*`.
    pub(super) globs: Vec<Vec<String>>,
    /// The paths that its code mentions.
    pub(super) mentions: Vec<Mention>,
}

/// The modules of several crates.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// The modules; an [`Id`] is an index.
    pub(super) all: Vec<Module>,
    /// The source files, relative to the repository.
    pub(super) files: Vec<PathBuf>,
    /// Files that are compiled for tests only, and folders of such files.
    pub(super) tests: Vec<PathBuf>,
    /// The root modules of libraries, by the name under which they are imported.
    pub(super) libraries: BTreeMap<String, Id>,
}

impl Modules {
    /// Reads the crate with the root file `root`, relative to `repo`. Returns its root module.
    pub(super) fn read(&mut self, repo: &Path, root: &Path) -> Result<Id> {
        let dir = root.parent().unwrap_or(Path::new("")).to_owned();
        self.file(repo, root, dir, None)
    }

    /// Reads `file`, whose submodules are files in `dir`.
    fn file(&mut self, repo: &Path, file: &Path, dir: PathBuf, parent: Option<Id>) -> Result<Id> {
        let text = fs::read_to_string(repo.join(file))
            .with_context(|| format!("reading {}", file.display()))?;
        let tree = syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
        self.files.push(file.to_owned());
        let here = SourceFile {
            repo,
            path: file,
            file: self.files.len() - 1,
            dir,
        };
        self.module(&here, &tree.items, parent)
    }

    fn module(&mut self, here: &SourceFile<'_>, items: &[Item], parent: Option<Id>) -> Result<Id> {
        let id = self.all.len();
        self.all.push(Module {
            parent,
            file: here.file,
            names: HashMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        for item in items {
            if under_test(mentions::attributes(item)) {
                if let Item::Mod(module) = item {
                    self.test_module(here, module)?;
                }
                continue;
            }
            match item {
                Item::Mod(module) => {
                    let below = self.below(here, module, id)?;
                    self.name(id, &module.ident, Name::Module(below));
                }
                Item::Use(one) => {
                    let public = !matches!(one.vis, Visibility::Inherited);
                    self.import(id, &one.tree, &mut Vec::new(), public);
                }
                other => {
                    if let Some(name) = mentions::name(other) {
                        self.name(id, name, Name::Defined);
                    }
                    let found = mentions::of(other);
                    self.all[id].mentions.extend(found.mentions);
                    for (name, path) in found.imports {
                        let names = &mut self.all[id].names;
                        names.entry(name).or_default().push(Name::Import(path));
                    }
                    self.all[id].globs.extend(found.globs);
                }
            }
        }
        Ok(id)
    }

    /// Reads the module of the item `module`, a submodule of `above`.
    fn below(&mut self, here: &SourceFile<'_>, module: &syn::ItemMod, above: Id) -> Result<Id> {
        match &module.content {
            Some((_, items)) => {
                let inside = SourceFile {
                    dir: here.dir.join(module.ident.to_string()),
                    ..*here
                };
                self.module(&inside, items, Some(above))
            }
            None => {
                let (file, dir) = here.file_of(module)?;
                self.file(here.repo, &file, dir, Some(above))
            }
        }
    }

    fn test_module(&mut self, here: &SourceFile<'_>, module: &syn::ItemMod) -> Result<()> {
        if module.content.is_none() {
            let (file, dir) = here.file_of(module)?;
            self.tests.extend([file, dir]);
        }
        Ok(())
    }

    fn name(&mut self, id: Id, name: &impl ToString, meaning: Name) {
        let names = self.all[id].names.entry(name.to_string()).or_default();
        names.push(meaning);
    }

    /// Adds the imports of a `use` item to module `id`.
    fn import(&mut self, id: Id, tree: &UseTree, prefix: &mut Vec<String>, public: bool) {
        for import in mentions::imports(tree, prefix) {
            match import.name {
                None => self.all[id].globs.push(import.path),
                Some(name) => {
                    self.all[id].mentions.push(Mention {
                        path: import.path.clone(),
                        line: import.line,
                        handed_on: public,
                    });
                    self.name(id, &name, Name::Import(import.path));
                }
            }
        }
    }
}

/// The file that is being read, and the folder of its submodules.
struct SourceFile<'a> {
    repo: &'a Path,
    path: &'a Path,
    file: usize,
    dir: PathBuf,
}

impl SourceFile<'_> {
    /// The file of a module that this file declares, and the folder of its submodules.
    fn file_of(&self, module: &syn::ItemMod) -> Result<(PathBuf, PathBuf)> {
        let name = module.ident.to_string();
        if let Some(path) = mentions::path_attribute(&module.attrs) {
            let file = self.path.with_file_name(path);
            let dir = file.parent().unwrap_or(Path::new("")).to_owned();
            return Ok((file, dir));
        }
        let dir = self.dir.join(&name);
        for file in [dir.with_extension("rs"), dir.join("mod.rs")] {
            if self.repo.join(&file).exists() {
                return Ok((file, dir));
            }
        }
        bail!("{}: the module {name} has no file", self.path.display());
    }
}
